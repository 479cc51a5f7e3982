//! Looks at where a text stands in its document, which the parser does not tell: quoted, tagged, or plain.

/// Bytes before a text that are looked through for a tag.
const LOOK_BACK: usize = 64;

/// Whether `text`, a part of `bytes`, is neither quoted nor tagged.
pub(super) fn is_plain(bytes: &[u8], text: &str) -> bool {
    let Some(before) = text.as_ptr().addr().checked_sub(bytes.as_ptr().addr()).and_then(|at| bytes.get(..at)) else {
        return false;
    };
    if let Some(b'\'' | b'"') = before.last() {
        return false;
    }
    let near = &before[before.len().saturating_sub(LOOK_BACK)..];
    let words = near.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    // An anchor may stand between a tag and its text.
    let last = words.rev().find(|word| word[0] != b'&');
    !last.is_some_and(|word| word[0] == b'!' && !word.ends_with(b","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_plain_in(document: &str) -> bool {
        let at = document.find("yes").unwrap();
        is_plain(document.as_bytes(), &document[at..at + 3])
    }

    #[test]
    fn quoted_and_tagged_texts_are_told_from_plain_ones() {
        let long = format!("k: {}yes", " ".repeat(1000));
        for plain in ["yes", "a: yes", "- yes", "[a,yes]", "{a: yes}", "a: &x yes", "[!x, yes]", "ä: yes", &long] {
            assert!(is_plain_in(plain), "{plain}");
        }
        for other in ["'yes'", "a: \"yes\"", "!!str yes", "a: !x  yes", "a: !!str &x yes", "a: &x !!str yes"] {
            assert!(!is_plain_in(other), "{other}");
        }
        assert!(!is_plain(b"a: yes", "yes"), "it is not a part of the document");
    }
}
