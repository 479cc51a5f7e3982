//! An object of a watch, read as Go reads it: null says no more than absence, and one bad object is no bad stream. Who
//! manages its fields is not read: nobody here asks, and it takes as long as the rest.

use coracle_api::scan::without_managed_fields;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use serde_json::value::RawValue;

/// What could be made of an object.
#[derive(Clone)]
pub(crate) enum Decoded<K> {
    Read(Box<K>),
    /// It is not of the type, in `why`'s words; who it is can be read all the same.
    Unreadable {
        meta: Box<ObjectMeta>,
        why: String,
    },
}

#[derive(Deserialize)]
struct Identity {
    metadata: ObjectMeta,
}

impl<K: Resource> Decoded<K> {
    pub(crate) fn into_meta(self) -> ObjectMeta {
        match self {
            Self::Read(mut object) => std::mem::take(object.meta_mut()),
            Self::Unreadable { meta, .. } => *meta,
        }
    }
}

impl<'de, K: DeserializeOwned> Deserialize<'de> for Decoded<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<RawValue>::deserialize(deserializer)?;
        let without = without_managed_fields(raw.get());
        let text = without.as_deref().unwrap_or(raw.get());
        if let Ok(object) = serde_json::from_str(text) {
            return Ok(Self::Read(object));
        }
        // Go writes null for a zero time, where the generated types want a value or nothing.
        let mut value = serde_json::from_str(text).map_err(serde::de::Error::custom)?;
        without_nulls(&mut value);
        // As text again: to read it as it is would compile every type's reader once more.
        match serde_json::from_str(&value.to_string()) {
            Ok(object) => Ok(Self::Read(object)),
            Err(error) => {
                let identity = Identity::deserialize(value).map_err(serde::de::Error::custom)?;
                Ok(Self::Unreadable { meta: Box::new(identity.metadata), why: error.to_string() })
            }
        }
    }
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}
