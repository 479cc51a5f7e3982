//! Standard base64 with Go's rules: line breaks are skipped, padding is needed, and errors name the byte.

use std::borrow::Cow;

use ::base64::{Engine, engine::general_purpose::STANDARD};

/// The bytes of a text, or Go's complaint about it.
pub fn decode(text: &str) -> Result<Vec<u8>, String> {
    match STANDARD.decode(text) {
        Ok(bytes) => Ok(bytes),
        Err(_) => decode_slowly(text.as_bytes()),
    }
}

/// The text as Go would write it again.
pub(super) fn canonical(text: &str) -> Result<Cow<'_, str>, String> {
    match STANDARD.decode(text) {
        Ok(_) => Ok(Cow::Borrowed(text)),
        Err(_) => decode_slowly(text.as_bytes()).map(|bytes| Cow::Owned(STANDARD.encode(bytes))),
    }
}

fn corrupt<T>(position: usize) -> Result<T, String> {
    Err(format!("illegal base64 data at input byte {position}"))
}

fn digit(byte: u8) -> Option<u32> {
    let value = match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(value.into())
}

fn skip_breaks(text: &[u8], mut pos: usize) -> usize {
    while matches!(text.get(pos), Some(b'\r' | b'\n')) {
        pos += 1;
    }
    pos
}

fn decode_slowly(text: &[u8]) -> Result<Vec<u8>, String> {
    let (mut out, mut pos) = (Vec::new(), 0);
    loop {
        let (mut bits, mut n_digits) = (0u32, 0);
        while n_digits < 4 {
            pos = skip_breaks(text, pos);
            let Some(&byte) = text.get(pos) else {
                return if n_digits == 0 { Ok(out) } else { corrupt(pos - n_digits) };
            };
            pos += 1;
            match digit(byte) {
                Some(digit) => (bits, n_digits) = (bits << 6 | digit, n_digits + 1),
                None if byte == b'=' => {
                    end(text, pos, n_digits)?;
                    bits <<= 6 * (4 - n_digits);
                    out.extend_from_slice(&bits.to_be_bytes()[1..n_digits]);
                    return Ok(out);
                }
                None => return corrupt(pos - 1),
            }
        }
        out.extend_from_slice(&bits.to_be_bytes()[1..]);
    }
}

/// Checks what follows the first `=`.
fn end(text: &[u8], mut pos: usize, n_digits: usize) -> Result<(), String> {
    if n_digits < 2 {
        return corrupt(pos - 1);
    }
    if n_digits == 2 {
        pos = skip_breaks(text, pos);
        match text.get(pos) {
            None => return corrupt(text.len()),
            Some(b'=') => pos += 1,
            Some(_) => return corrupt(pos - 1),
        }
    }
    pos = skip_breaks(text, pos);
    if pos < text.len() { corrupt(pos) } else { Ok(()) }
}
