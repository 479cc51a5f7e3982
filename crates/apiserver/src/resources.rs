//! The kinds that are served, found by their paths, each with what serving it needs. Custom kinds become rows here too.

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::{Bytes, BytesMut};
use coracle_api::columns::TEMPLATE_GENERATION;
use coracle_api::fieldset::Set;
use coracle_api::kind::{Kind, Part};
use coracle_api::scan::{metadata, without_managed_fields};
use coracle_api::schema::{self, Message};
use coracle_store::KeyValue;
use serde_json::Value;

use crate::hub::Hub;
use crate::object::{self, Layout};

/// The kinds whose objects the server itself has a part in, beyond keeping them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    /// Emptied before it goes.
    Namespace,
    /// Given tolerations, an account and a grace period.
    Pod,
    /// Given addresses and ports.
    Service,
    /// Never kept: it changes a pod.
    Binding,
    /// Given a class, and grown with permission.
    Claim,
    /// One of them is the default at most.
    PriorityClass,
    /// Signed by who made it, and decided about.
    CertificateRequest,
    None,
}

impl Special {
    fn of(kind: &Kind) -> Self {
        match (kind.group.as_str(), kind.plural.as_str()) {
            ("", "namespaces") => Self::Namespace,
            ("", "pods") => Self::Pod,
            ("", "services") => Self::Service,
            ("", "bindings") => Self::Binding,
            ("", "persistentvolumeclaims") => Self::Claim,
            ("scheduling.k8s.io", "priorityclasses") => Self::PriorityClass,
            ("certificates.k8s.io", "certificatesigningrequests") => Self::CertificateRequest,
            _ => Self::None,
        }
    }
}

fn returns_deleted(kind: &Kind) -> bool {
    let core = [
        "persistentvolumeclaims",
        "persistentvolumes",
        "pods",
        "podtemplates",
        "resourcequotas",
        "serviceaccounts",
        "services",
    ];
    kind.group.is_empty() && core.contains(&kind.plural.as_str())
}

/// One served kind.
#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) kind: Arc<Kind>,
    pub(crate) api_version: String,
    pub(crate) schema: &'static Message,
    /// `group/plural`, for metrics.
    pub(crate) label: String,
    layout: Layout,
    pub(crate) special: Special,
    /// Its deletion is answered with the object, not with a mere success.
    pub(crate) returns_deleted: bool,
    reset: [Set; 2],
    /// The stream of events that every watch of this kind shares.
    pub(crate) hub: Hub,
}

impl Resource {
    fn new(kind: Kind, layout: Layout) -> Option<Self> {
        Some(Self {
            api_version: kind.api_version(),
            schema: schema::message(&kind.schema)?,
            label: format!("{}/{}", kind.group, kind.plural),
            hub: Hub::new(kind.prefix(None)),
            layout,
            special: Special::of(&kind),
            returns_deleted: returns_deleted(&kind),
            reset: [Set::of_fields(&[&["status"]]), Set::of_fields(&[&["spec"]])],
            kind: Arc::new(kind),
        })
    }

    /// The fields that a write to `part` leaves alone, and so never owns.
    pub(crate) fn reset_fields(&self, part: Part) -> Option<&Set> {
        let [status, spec] = &self.reset;
        self.kind.subresource("status")?;
        match part {
            Part::Object | Part::Finalize | Part::EphemeralContainers | Part::Resize => Some(status),
            Part::Status | Part::Approval => Some(spec),
        }
    }

    /// What is stored for `object`.
    pub(crate) fn encode(&self, object: &Value) -> Bytes {
        match self.kind.conversion {
            None => self.layout.encode(object),
            Some(conversion) => {
                let mut stored = object.clone();
                (conversion.to_storage)(&mut stored);
                self.layout.encode(&stored)
            }
        }
    }

    /// The object in `kv`, as this kind shows it.
    pub(crate) fn decode(&self, kv: &KeyValue) -> Value {
        self.decode_at(&kv.value, kv.mod_revision)
    }

    /// The stored object with `revision` for its version.
    pub(crate) fn decode_at(&self, stored: &[u8], revision: u64) -> Value {
        let mut object = object::decode(stored, revision);
        if let Some(conversion) = self.kind.conversion {
            (conversion.from_storage)(&mut object);
        }
        object
    }

    /// What selectors may ask of the stored object: all but its version, and who manages which fields.
    pub(crate) fn selectable(&self, stored: &[u8]) -> Value {
        let text = std::str::from_utf8(stored).expect("the store holds what `encode` wrote");
        match without_managed_fields(text) {
            Some(rest) => self.decode_at(rest.as_bytes(), 0),
            None => self.decode_at(stored, 0),
        }
    }

    /// Appends the stored object's metadata alone, with its version, from brace to brace. False where they have to be
    /// looked into first.
    pub(crate) fn write_metadata(&self, out: &mut BytesMut, stored: &[u8], revision: u64) -> bool {
        let text = std::str::from_utf8(stored).expect("the store holds what `encode` wrote");
        let plain = self.is_spliced(stored) && !text.contains(TEMPLATE_GENERATION);
        let Some(range) = plain.then(|| metadata(text)).flatten() else { return false };
        object::write_metadata(out, &stored[range], revision);
        true
    }

    /// The stored object as it is served.
    pub(crate) fn serve(&self, stored: &[u8], revision: u64) -> Bytes {
        let mut out = BytesMut::with_capacity(stored.len() + 48);
        self.write_object(&mut out, stored, revision);
        out.freeze()
    }

    /// Appends the stored object as it is served.
    pub(crate) fn write_object(&self, out: &mut BytesMut, stored: &[u8], revision: u64) {
        if self.is_spliced(stored) {
            self.layout.write_object(out, stored, revision);
        } else {
            append(out, &self.decode_at(stored, revision));
        }
    }

    /// Appends the stored object as an item of a list.
    pub(crate) fn write_item(&self, out: &mut BytesMut, stored: &[u8], revision: u64) {
        if self.is_spliced(stored) {
            return self.layout.write_item(out, stored, revision);
        }
        let mut object = self.decode_at(stored, revision);
        if let Some(fields) = object.as_object_mut() {
            fields.remove("kind");
            fields.remove("apiVersion");
        }
        append(out, &object);
    }

    fn is_spliced(&self, stored: &[u8]) -> bool {
        self.kind.conversion.is_none() && self.layout.fits(stored)
    }
}

fn append(out: &mut BytesMut, value: &Value) {
    use bytes::BufMut;
    serde_json::to_writer(out.writer(), value).expect("memory takes every byte");
}

/// Every served kind, by path.
#[derive(Debug)]
pub(crate) struct Catalog(ArcSwap<Table>);

#[derive(Debug)]
struct Table {
    kinds: Arc<[Arc<Kind>]>,
    by_path: HashMap<String, Arc<Resource>>,
}

impl Catalog {
    /// The catalogue of `kinds`.
    pub(crate) fn new(kinds: &[Kind]) -> Self {
        let storage_layout = |kind: &Kind| {
            let stored = kinds.iter().find(|k| k.storage == kind.storage && k.conversion.is_none()).unwrap_or(kind);
            Layout::new(&stored.api_version(), &stored.kind)
        };
        let rows = kinds.iter().filter_map(|kind| Resource::new(kind.clone(), storage_layout(kind)).map(Arc::new));
        let rows: Vec<Arc<Resource>> = rows.collect();
        let by_path =
            |row: &Arc<Resource>| (path(&row.kind.group, &row.kind.version, &row.kind.plural), Arc::clone(row));
        Self(ArcSwap::from_pointee(Table {
            by_path: rows.iter().map(by_path).collect(),
            kinds: rows.iter().map(|row| Arc::clone(&row.kind)).collect(),
        }))
    }

    /// The kind that a path names.
    pub(crate) fn find(&self, group: &str, version: &str, plural: &str) -> Option<Arc<Resource>> {
        self.0.load().by_path.get(&path(group, version, plural)).cloned()
    }

    /// The rows of the table, in its order: what discovery and schemas are derived from.
    pub(crate) fn kinds(&self) -> Arc<[Arc<Kind>]> {
        Arc::clone(&self.0.load().kinds)
    }

    /// Every kind, in no order.
    pub(crate) fn all(&self) -> Vec<Arc<Resource>> {
        self.0.load().by_path.values().cloned().collect()
    }
}

fn path(group: &str, version: &str, plural: &str) -> String {
    format!("{group}/{version}/{plural}")
}
