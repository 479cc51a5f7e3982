//! How objects are laid out in the store, so that they are served without being serialised again.
//!
//! An object is stored as JSON that begins with its kind, its version and its metadata, without its resource version:
//! `{"kind":"Pod","apiVersion":"v1","metadata":{"name":…`. The length of that beginning is known per kind, so its
//! resource version is spliced in at a known place, and an item of a list begins at a known place too.

use bytes::{Bytes, BytesMut};
use serde_json::Value;

/// The beginning of every stored object of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// Up to and including the brace that opens the metadata.
    head: String,
}

const METADATA: &str = "\"metadata\":{";

impl Layout {
    pub(crate) fn new(api_version: &str, kind: &str) -> Self {
        Self { head: format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{api_version}\",{METADATA}") }
    }

    /// The bytes to store for `object`.
    pub(crate) fn encode(&self, object: &Value) -> Bytes {
        let mut bytes = Vec::with_capacity(1024);
        bytes.extend_from_slice(self.head.as_bytes());
        let empty = serde_json::Map::new();
        let metadata = object["metadata"].as_object().unwrap_or(&empty);
        let mut first = true;
        for (name, value) in metadata.iter().filter(|(name, _)| *name != "resourceVersion" && *name != "selfLink") {
            write_field(&mut bytes, name, value, &mut first);
        }
        bytes.push(b'}');
        let mut first = false;
        for (name, value) in object.as_object().into_iter().flatten() {
            if !matches!(name.as_str(), "metadata" | "kind" | "apiVersion") {
                write_field(&mut bytes, name, value, &mut first);
            }
        }
        bytes.push(b'}');
        bytes.into()
    }

    /// True when `stored` begins as this kind's objects do.
    pub(crate) fn fits(&self, stored: &[u8]) -> bool {
        stored.starts_with(self.head.as_bytes())
    }

    /// Appends the object with its resource version.
    pub(crate) fn write_object(&self, out: &mut BytesMut, stored: &[u8], revision: u64) {
        out.extend_from_slice(self.head.as_bytes());
        write_version(out, revision);
        out.extend_from_slice(&stored[self.head.len()..]);
    }

    /// Appends the object as lists of built-in kinds hold it: without kind and version.
    pub(crate) fn write_item(&self, out: &mut BytesMut, stored: &[u8], revision: u64) {
        out.extend_from_slice(b"{");
        out.extend_from_slice(METADATA.as_bytes());
        write_version(out, revision);
        out.extend_from_slice(&stored[self.head.len()..]);
    }
}

/// Appends an object's stored metadata with its resource version.
pub(crate) fn write_metadata(out: &mut BytesMut, stored: &[u8], revision: u64) {
    out.extend_from_slice(b"{");
    write_version(out, revision);
    out.extend_from_slice(&stored[1..]);
}

/// The stored object as a value, with its resource version.
pub(crate) fn decode(stored: &[u8], revision: u64) -> Value {
    let mut object: Value = serde_json::from_slice(stored).expect("the store holds what `encode` wrote");
    object["metadata"]["resourceVersion"] = Value::String(revision.to_string());
    object
}

fn write_version(out: &mut BytesMut, revision: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = revision;
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(rest % 10).expect("a remainder of ten is a digit");
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(b"\"resourceVersion\":\"");
    out.extend_from_slice(&digits[at..]);
    out.extend_from_slice(b"\",");
}

fn write_field(bytes: &mut Vec<u8>, name: &str, value: &Value, first: &mut bool) {
    if !std::mem::take(first) {
        bytes.push(b',');
    }
    serde_json::to_writer(&mut *bytes, name).expect("a vector takes every byte");
    bytes.push(b':');
    serde_json::to_writer(bytes, value).expect("a vector takes every byte");
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stored_object_comes_back_with_the_version_of_its_write() {
        let layout = Layout::new("v1", "ConfigMap");
        let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"},
            "metadata": {"name": "c", "namespace": "n", "resourceVersion": "5"}});
        let stored = layout.encode(&object);
        assert!(layout.fits(&stored));
        let mut out = BytesMut::new();
        layout.write_object(&mut out, &stored, 1207);
        let text = String::from_utf8(out.to_vec()).unwrap();
        assert_eq!(
            text,
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"1207","name":"c","namespace":"n"},"data":{"a":"1"}}"#
        );
        let mut expected = object;
        expected["metadata"]["resourceVersion"] = json!("1207");
        assert_eq!(decode(&stored, 1207), expected);
    }

    #[test]
    fn an_item_of_a_list_has_neither_kind_nor_version() {
        let layout = Layout::new("v1", "ConfigMap");
        let stored = layout.encode(&json!({"metadata": {"name": "c"}}));
        let mut out = BytesMut::new();
        layout.write_item(&mut out, &stored, 0);
        assert_eq!(&out[..], br#"{"metadata":{"resourceVersion":"0","name":"c"}}"#);
    }
}
