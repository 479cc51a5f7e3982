//! Visits a YAML document once: builds the JSON value, and finds words of YAML 1.1 and duplicate keys on the way.

mod place;

use std::{
    cell::{Cell, RefCell},
    fmt,
};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::decode::{DEPTH_MAX, go_float};

/// The value of the first document, and what is to be said of keys that were given twice.
pub(super) fn read(bytes: &[u8]) -> Result<(Value, Vec<String>), serde_yaml::Error> {
    #[cfg(test)]
    PASSES.set(PASSES.get() + 1);
    let pass = Pass {
        bytes,
        duplicates: RefCell::default(),
        repeated: Cell::default(),
        weight: Cell::default(),
        weight_max: bytes.len() + ALIASED_WEIGHT_MAX,
    };
    let value = match serde_yaml::Deserializer::from_slice(bytes).next() {
        Some(document) => Node { pass: &pass, depth: 0 }.deserialize(document)?,
        None => Value::Null,
    };
    Ok((value, pass.duplicates.into_inner()))
}

#[cfg(test)]
thread_local! {
    /// How often a document was gone through.
    pub(super) static PASSES: Cell<usize> = const { Cell::new(0) };
}

/// What a plain word means in YAML 1.1, where YAML 1.2 sees text: a truth value, or an octal number.
fn word(text: &str) -> Option<Value> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true.into()),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false.into()),
        _ => {
            let digits = text
                .strip_prefix('0')
                .filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| matches!(byte, b'0'..=b'7')))?;
            i64::from_str_radix(digits, 8).ok().map(Value::from)
        }
    }
}

/// What aliases may add to a document: about a node each, or so many bytes of text. Without them a document never weighs
/// more than it has bytes.
const ALIASED_WEIGHT_MAX: usize = 400_000;
const TEXT_BYTES_PER_WEIGHT: usize = 16;

/// Duplicates beyond these are not reported.
const DUPLICATES_MAX: usize = 20;

/// What is kept while the document is gone through.
struct Pass<'b> {
    bytes: &'b [u8],
    duplicates: RefCell<Vec<String>>,
    /// The key that was just refused for being there already.
    repeated: Cell<Option<String>>,
    /// What the value takes in memory, about.
    weight: Cell<usize>,
    weight_max: usize,
}

impl Pass<'_> {
    fn weigh<E: de::Error>(&self, n_bytes: usize) -> Result<(), E> {
        self.weight.set(self.weight.get() + 1 + n_bytes / TEXT_BYTES_PER_WEIGHT);
        if self.weight.get() <= self.weight_max {
            return Ok(());
        }
        Err(E::custom("document contains excessive aliasing"))
    }

    /// A key for its map. The first duplicates are refused, for only an error is told where the parser is; the map takes
    /// them all the same.
    fn key<E: de::Error>(&self, key: String, object: &Map<String, Value>) -> Result<String, E> {
        self.weigh(key.len())?;
        if self.duplicates.borrow().len() >= DUPLICATES_MAX || !object.contains_key(&key) {
            return Ok(key);
        }
        self.repeated.set(Some(key));
        Err(E::custom("already set"))
    }

    /// The key of a refused duplicate, which is noted with its line; or the error, if it is another one.
    fn duplicate<E: de::Error>(&self, error: E) -> Result<String, E> {
        let Some(key) = self.repeated.take() else { return Err(error) };
        let text = error.to_string();
        let line = text.rsplit_once(" at line ").and_then(|(_, place)| super::line_number(place)).unwrap_or(1);
        self.duplicates.borrow_mut().push(format!("line {line}: key {key:?} already set in map"));
        Ok(key)
    }
}

#[derive(Clone, Copy)]
struct Node<'c> {
    pass: &'c Pass<'c>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.depth > DEPTH_MAX {
            return Err(de::Error::custom("exceeded max depth"));
        }
        self.pass.weigh(0)?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any YAML value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(go_float(value))
    }

    /// Text that stands in the document as it is. In YAML 1.1 some words mean something there, unless they are quoted.
    fn visit_borrowed_str<E: de::Error>(self, value: &'de str) -> Result<Value, E> {
        self.pass.weigh(value.len())?;
        let meaning = word(value).filter(|_| place::is_plain(self.pass.bytes, value));
        Ok(meaning.unwrap_or_else(|| value.into()))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        self.pass.weigh(value.len())?;
        Ok(value.into())
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        self.pass.weigh(value.len())?;
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        self.deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element_seed(Node { depth: self.depth + 1, ..self })? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        loop {
            let next = access.next_key_seed(Key { pass: self.pass, object: &object });
            let Some(key) = next.or_else(|error| self.pass.duplicate(error).map(Some))? else { break };
            let value = access.next_value_seed(Node { depth: self.depth + 1, ..self })?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }

    /// A value with a tag of the user's own: the tag means nothing here.
    fn visit_enum<A: de::EnumAccess<'de>>(self, access: A) -> Result<Value, A::Error> {
        let (_, variant) = access.variant::<Tag>()?;
        de::VariantAccess::newtype_variant_seed(variant, self)
    }
}

struct Tag;

impl<'de> Deserialize<'de> for Tag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tag, D::Error> {
        deserializer.deserialize_identifier(de::IgnoredAny).map(|_| Tag)
    }
}

struct Key<'c, 'o> {
    pass: &'c Pass<'c>,
    object: &'o Map<String, Value>,
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Key<'_, '_> {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a scalar as a key")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<String, E> {
        self.pass.key(value.to_owned(), self.object)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<String, E> {
        self.pass.key(value.to_string(), self.object)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<String, E> {
        self.pass.key(value.to_string(), self.object)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<String, E> {
        self.pass.key(value.to_string(), self.object)
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<String, E> {
        self.pass.key(value.to_string(), self.object)
    }

    fn visit_unit<E: de::Error>(self) -> Result<String, E> {
        self.pass.key("null".to_owned(), self.object)
    }
}
