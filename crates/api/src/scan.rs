//! Parts of an object's JSON, found without decoding it. It trusts that the text is JSON, and gives up where it is not
//! laid out as objects are.

use std::ops::Range;

/// The text without what says who manages which fields, which may be half of it; `None` when it says nothing of that.
pub fn without_managed_fields(json: &str) -> Option<String> {
    let Range { start, end } = managed_fields(json)?;
    let mut rest = String::with_capacity(json.len() - (end - start));
    rest.push_str(&json[..start]);
    rest.push_str(&json[end..]);
    Some(rest)
}

/// Where in the text the object's metadata are, from brace to brace.
pub fn metadata(json: &str) -> Option<Range<usize>> {
    let mut cursor = Cursor::of(json);
    cursor.member("metadata")?;
    let start = cursor.at;
    (cursor.byte()? == b'{').then_some(())?;
    cursor.pass_value()?;
    Some(start..cursor.at)
}

/// The member of the metadata, with the comma that parts it from another.
fn managed_fields(json: &str) -> Option<Range<usize>> {
    let mut cursor = Cursor::of(json);
    cursor.member("metadata")?;
    let start = cursor.member("managedFields")?;
    cursor.pass_value()?;
    cursor.pass_space();
    if cursor.byte()? == b',' {
        return Some(start..cursor.at + 1);
    }
    let before = json[..start].trim_end();
    Some(before.strip_suffix(',').map_or(start, str::len)..cursor.at)
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn of(json: &'a str) -> Self {
        Self { bytes: json.as_bytes(), at: 0 }
    }

    fn byte(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn pass_space(&mut self) {
        while self.byte().is_some_and(|byte| byte.is_ascii_whitespace()) {
            self.at += 1;
        }
    }

    fn pass(&mut self, expected: u8) -> Option<()> {
        self.pass_space();
        (self.byte()? == expected).then(|| self.at += 1)
    }

    /// Goes to the value of this member of the object that begins here. Returns where the member begins.
    fn member(&mut self, name: &str) -> Option<usize> {
        self.pass(b'{')?;
        loop {
            self.pass_space();
            let start = self.at;
            let found = self.pass_string()?;
            self.pass(b':')?;
            self.pass_space();
            if found == name.as_bytes() {
                return Some(start);
            }
            self.pass_value()?;
            self.pass(b',')?;
        }
    }

    /// Passes a string; returns what is between its quotes, as it is written.
    fn pass_string(&mut self) -> Option<&'a [u8]> {
        (self.byte()? == b'"').then_some(())?;
        let start = self.at + 1;
        self.at = start;
        loop {
            match self.byte()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        self.bytes.get(start..self.at - 1)
    }

    fn pass_value(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.byte()? {
                b'"' => {
                    self.pass_string()?;
                }
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' => {
                    depth = depth.checked_sub(1)?;
                    self.at += 1;
                }
                b',' | b':' | b' ' | b'\t' | b'\n' | b'\r' => self.at += 1,
                _ => self.pass_word()?,
            }
            if depth == 0 {
                return Some(());
            }
        }
    }

    /// Passes a number, or a word such as null.
    fn pass_word(&mut self) -> Option<()> {
        let start = self.at;
        while self.byte().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')) {
            self.at += 1;
        }
        (self.at > start).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn check(object: &Value) {
        for text in [object.to_string(), serde_json::to_string_pretty(object).unwrap()] {
            let mut expected = object.clone();
            let removed = expected["metadata"].as_object_mut().and_then(|metadata| metadata.remove("managedFields"));
            let left = without_managed_fields(&text);
            assert_eq!(left.is_some(), removed.is_some(), "{text}");
            if let Some(left) = left {
                assert_eq!(serde_json::from_str::<Value>(&left).unwrap(), expected, "{text}");
            }
            let found = metadata(&text).map(|range| serde_json::from_str::<Value>(&text[range]).unwrap());
            assert_eq!(found.as_ref(), object.get("metadata").filter(|metadata| metadata.is_object()), "{text}");
        }
    }

    #[test]
    fn only_the_objects_own_managed_fields_go() {
        let fields = json!([{"manager": "a\"]}\\", "fieldsV1": {"f:metadata": {"f:labels": {}}}}]);
        check(&json!({"kind": "Pod", "metadata": {"managedFields": fields, "name": "p"}}));
        check(&json!({"kind": "Pod", "metadata": {"labels": {"managedFields": "no"}, "managedFields": fields}}));
        check(&json!({"metadata": {"managedFields": fields}, "spec": {"managedFields": [1]}}));
        check(&json!({"metadata": {"name": "p"}, "spec": {"metadata": {"managedFields": fields}}}));
        check(&json!({"a": {"metadata": {"managedFields": fields}}, "b": [-1.5e+3, null, true], "metadata": {}}));
    }

    #[test]
    fn what_is_no_object_is_left_alone() {
        for text in ["", "null", "[]", "{", "{\"metadata\"", "{\"metadata\":{\"managedFields\":[", "{\"metadata\":[]}"]
        {
            assert_eq!((without_managed_fields(text), metadata(text)), (None, None), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_survived(text in "[{}\\[\\]\":,a\\\\ ]{0,40}", tail in ".{0,10}") {
            let _ = without_managed_fields(&format!("{{\"metadata\":{{\"managedFields\":{text}{tail}"));
            let _ = metadata(&format!("{text}\"metadata\":{tail}"));
        }
    }
}
