//! Visits a YAML document: builds the JSON value, counts duplicate keys, and finds the line of one of them.

use std::{cell::Cell, fmt};

use serde::{
    Deserialize, Deserializer,
    de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor},
};
use serde_json::{Map, Value};

use crate::decode::{DEPTH_MAX, go_float};

/// The value of the first document and how many keys were given twice.
pub(super) fn read(bytes: &[u8]) -> Result<(Value, usize), serde_yaml::Error> {
    let (first, counted) = pass(bytes, Count::default())?;
    let n_words = counted.words.get().min(WORDS_MAX);
    if n_words == 0 {
        return Ok((first, counted.seen.get()));
    }
    // Words of YAML 1.1 mean something only where they are not quoted, which the parser does not tell: look.
    let plain: Vec<bool> = (0..n_words).map(|nth| is_plain_word(bytes, nth)).collect();
    let (value, counted) = pass(bytes, Count { plain, ..Count::default() })?;
    Ok((value, counted.seen.get()))
}

fn pass(bytes: &[u8], count: Count) -> Result<(Value, Count), serde_yaml::Error> {
    let count = Count { weight_max: bytes.len() + ALIASED_WEIGHT_MAX, ..count };
    let value = match serde_yaml::Deserializer::from_slice(bytes).next() {
        Some(document) => Node { count: &count, depth: 0 }.deserialize(document)?,
        None => Value::Null,
    };
    Ok((value, count))
}

/// More words of YAML 1.1 than these stay text: finding out about each costs a pass.
const WORDS_MAX: usize = 64;

/// Whether the nth word is not quoted.
fn is_plain_word(bytes: &[u8], nth: usize) -> bool {
    let count = Count { stop_at_word: Some(nth), ..Count::default() };
    let place = pass(bytes, count).err().and_then(|error| error.location()).map(|location| location.index());
    place.and_then(|place| bytes.get(place)).is_some_and(u8::is_ascii_alphanumeric)
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

/// The complaint about a duplicate key, with its line.
pub(super) fn nth_duplicate(bytes: &[u8], nth: usize) -> Option<String> {
    let error = pass(bytes, Count { stop_at: Some(nth), ..Count::default() }).err()?;
    let line = error.location()?.line();
    let text = error.to_string();
    let key = text.split_once(MARK)?.1.rsplit_once(MARK)?.0;
    Some(format!("line {line}: key {key:?} already set in map"))
}

/// What aliases may add to a document: about a node each, or so many bytes of text. Without them a document never weighs
/// more than it has bytes.
const ALIASED_WEIGHT_MAX: usize = 400_000;
const TEXT_BYTES_PER_WEIGHT: usize = 16;

/// Fences the key in the error that carries it out of the parser.
const MARK: &str = "\u{1}";

/// What a pass over the document counts, and where it stops.
#[derive(Default)]
struct Count {
    /// Keys that were given twice.
    seen: Cell<usize>,
    stop_at: Option<usize>,
    /// Words of YAML 1.1, and which of them are not quoted.
    words: Cell<usize>,
    stop_at_word: Option<usize>,
    plain: Vec<bool>,
    /// What the value takes in memory, about.
    weight: Cell<usize>,
    weight_max: usize,
}

impl Count {
    fn weigh<E: de::Error>(&self, n_bytes: usize) -> Result<(), E> {
        self.weight.set(self.weight.get() + 1 + n_bytes / TEXT_BYTES_PER_WEIGHT);
        if self.weight.get() <= self.weight_max {
            return Ok(());
        }
        Err(E::custom("document contains excessive aliasing"))
    }
}

#[derive(Clone, Copy)]
struct Node<'c> {
    count: &'c Count,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        if self.depth > DEPTH_MAX {
            return Err(de::Error::custom("exceeded max depth"));
        }
        self.count.weigh(0)?;
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

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        self.count.weigh(value.len())?;
        let Some(meaning) = word(value) else { return Ok(value.into()) };
        let nth = self.count.words.get();
        if self.count.stop_at_word == Some(nth) {
            return Err(E::custom(MARK));
        }
        self.count.words.set(nth + 1);
        let plain = self.count.plain.get(nth).copied().unwrap_or(false);
        Ok(if plain { meaning } else { value.into() })
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<Value, E> {
        self.count.weigh(value.len())?;
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
        while let Some(key) = access.next_key_seed(Key { count: self.count, object: &object })? {
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
    count: &'c Count,
    object: &'o Map<String, Value>,
}

impl<'de> DeserializeSeed<'de> for Key<'_, '_> {
    type Value = String;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<String, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Key<'_, '_> {
    /// Counts a key that its map has already; an error raised here knows the key's line.
    fn check<E: de::Error>(&self, key: String) -> Result<String, E> {
        self.count.weigh(key.len())?;
        if self.object.contains_key(&key) {
            if self.count.stop_at == Some(self.count.seen.get()) {
                return Err(E::custom(format!("{MARK}{key}{MARK}")));
            }
            self.count.seen.set(self.count.seen.get() + 1);
        }
        Ok(key)
    }
}

impl<'de> Visitor<'de> for Key<'_, '_> {
    type Value = String;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a scalar as a key")
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<String, E> {
        self.check(value.to_owned())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<String, E> {
        self.check(value.to_string())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<String, E> {
        self.check(value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<String, E> {
        self.check(value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<String, E> {
        self.check(value.to_string())
    }

    fn visit_unit<E: de::Error>(self) -> Result<String, E> {
        self.check("null".to_owned())
    }
}
