//! Looks at the outermost layer of a wasm binary: what it is, and whether all of it is there. Validation is the
//! engine's.

use serde::{Deserialize, Serialize};

use crate::module::LoadError;

const MAGIC: &[u8] = b"\0asm";
const HEADER_LEN: usize = 8;

/// The two kinds of wasm binaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Encoding {
    Core,
    Component,
}

/// Reads the header and steps over the sections.
pub(crate) fn inspect(bytes: &[u8]) -> Result<Encoding, LoadError> {
    if !bytes.starts_with(&MAGIC[..bytes.len().min(MAGIC.len())]) || bytes.is_empty() {
        return Err(LoadError::NotWasm { looks_like: looks_like(bytes) });
    }
    let Some(header) = bytes.get(..HEADER_LEN) else {
        return Err(LoadError::Truncated { at: bytes.len(), missing: HEADER_LEN - bytes.len() });
    };
    let encoding = match header[4..] {
        [1, 0, 0, 0] => Encoding::Core,
        [_, _, 1, 0] => Encoding::Component,
        _ => return Err(LoadError::Invalid { cause: format!("unknown version {:02x?}", &header[4..]) }),
    };
    let mut at = HEADER_LEN;
    while at < bytes.len() {
        at = after_section(bytes, at)?;
    }
    Ok(encoding)
}

/// The offset behind the section that begins at `at`: an id, its length as LEB128, and as many bytes.
fn after_section(bytes: &[u8], at: usize) -> Result<usize, LoadError> {
    let (len, start) = leb128(bytes, at + 1)?;
    let end = start.saturating_add(len);
    if end > bytes.len() {
        return Err(LoadError::Truncated { at: bytes.len(), missing: end - bytes.len() });
    }
    Ok(end)
}

fn leb128(bytes: &[u8], mut at: usize) -> Result<(usize, usize), LoadError> {
    let mut value = 0u64;
    for shift in (0..35).step_by(7) {
        let Some(&byte) = bytes.get(at) else {
            return Err(LoadError::Truncated { at: bytes.len(), missing: 1 });
        };
        at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Ok((usize::try_from(value).unwrap_or(usize::MAX), at));
        }
    }
    Err(LoadError::Invalid { cause: format!("a section's length at byte {at} is too long") })
}

/// What people push by mistake.
fn looks_like(bytes: &[u8]) -> Option<&'static str> {
    let starts = |prefix: &[u8]| bytes.starts_with(prefix);
    let text = bytes.trim_ascii_start();
    match () {
        () if bytes.is_empty() => Some("an empty file"),
        () if starts(b"\x7fELF") => Some("a native Linux program: build it for a wasm target"),
        () if starts(b"MZ") => Some("a native Windows program: build it for a wasm target"),
        () if starts(b"\xcf\xfa\xed\xfe") => Some("a native macOS program: build it for a wasm target"),
        () if starts(b"\x1f\x8b") => Some("a gzip archive"),
        () if starts(b"PK\x03\x04") => Some("a zip archive"),
        () if starts(b"#!") => Some("a script"),
        () if text.starts_with(b"(module") || text.starts_with(b"(component") => {
            Some("the text form of wasm: convert it with `wasm-tools parse`")
        }
        () if text.starts_with(b"<") => Some("an HTML page"),
        () if text.starts_with(b"{") => Some("a JSON document"),
        () => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CORE: &[u8] = b"\0asm\x01\0\0\0";
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";

    #[track_caller]
    fn refused(bytes: &[u8], words: &str) {
        assert_eq!(inspect(bytes).unwrap_err().to_string(), words);
    }

    #[test]
    fn modules_and_components_are_told_apart() {
        assert_eq!(inspect(CORE).unwrap(), Encoding::Core);
        assert_eq!(inspect(COMPONENT).unwrap(), Encoding::Component);
        assert_eq!(inspect(&[CORE, b"\0\x03\x02hi"].concat()).unwrap(), Encoding::Core);
    }

    #[test]
    fn what_is_cut_off_says_where() {
        refused(b"\0as", "truncated at byte 3: 5 more bytes were announced");
        refused(&[CORE, b"\x01\x05ab"].concat(), "truncated at byte 12: 3 more bytes were announced");
        refused(&[CORE, b"\x01\x85"].concat(), "truncated at byte 10: 1 more bytes were announced");
    }

    #[test]
    fn what_is_no_wasm_says_what_it_is() {
        refused(b"", "not a WebAssembly module: it looks like an empty file");
        refused(
            b"\x7fELF\x02",
            "not a WebAssembly module: it looks like a native Linux program: build it for a wasm target",
        );
        refused(b"  <html>", "not a WebAssembly module: it looks like an HTML page");
        refused(b"garbage", "not a WebAssembly module");
    }

    #[test]
    fn a_version_from_the_future_is_invalid() {
        refused(b"\0asm\x02\0\0\0", "not a valid WebAssembly module: unknown version [02, 00, 00, 00]");
        refused(
            &[CORE, b"\x01\xff\xff\xff\xff\xff\xff"].concat(),
            "not a valid WebAssembly module: a section's length at byte 14 is too long",
        );
    }
}
