//! Reads JSON's tokens from bytes; knows Go's texts for every way a document can be malformed.

use std::borrow::Cow;

use super::{DEPTH_MAX, Error, literal::quote_byte};

/// What comes next in a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    Object,
    Array,
    String,
    Number,
    True,
    False,
    Null,
}

impl Next {
    /// The word that Go's type errors use.
    pub(super) fn word(self) -> &'static str {
        match self {
            Next::Object => "object",
            Next::Array => "array",
            Next::String => "string",
            Next::Number => "number",
            Next::True | Next::False => "bool",
            Next::Null => "null",
        }
    }
}

pub(super) struct Parser<'a> {
    bytes: &'a [u8],
    pos: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Parser<'a> {
        Parser { bytes, pos: 0, depth: 0 }
    }

    fn space(&mut self) -> Option<u8> {
        while let Some(&byte) = self.bytes.get(self.pos) {
            if !matches!(byte, b' ' | b'\t' | b'\r' | b'\n') {
                return Some(byte);
            }
            self.pos += 1;
        }
        None
    }

    /// The error for the byte at hand, or for the document's end.
    fn fail<T>(&self, context: &str) -> Result<T, Error> {
        Err(Error::Syntax(match self.bytes.get(self.pos) {
            Some(&byte) => format!("invalid character {} {context}", quote_byte(byte)),
            None => "unexpected end of JSON input".to_owned(),
        }))
    }

    pub(super) fn next(&mut self) -> Result<Next, Error> {
        match self.space() {
            Some(b'{') => Ok(Next::Object),
            Some(b'[') => Ok(Next::Array),
            Some(b'"') => Ok(Next::String),
            Some(b'-' | b'0'..=b'9') => Ok(Next::Number),
            Some(b't') => Ok(Next::True),
            Some(b'f') => Ok(Next::False),
            Some(b'n') => Ok(Next::Null),
            Some(_) | None => self.fail("looking for beginning of value"),
        }
    }

    /// Nothing but space may follow the document.
    pub(super) fn end(&mut self) -> Result<(), Error> {
        match self.space() {
            Some(_) => self.fail("after top-level value"),
            None => Ok(()),
        }
    }

    fn enter(&mut self) -> Result<(), Error> {
        self.depth += 1;
        if self.depth > DEPTH_MAX {
            return self.fail("exceeded max depth");
        }
        self.pos += 1;
        Ok(())
    }

    /// Reads `{` and says whether a key follows.
    pub(super) fn open_object(&mut self) -> Result<bool, Error> {
        self.enter()?;
        if self.space() == Some(b'}') {
            self.leave();
            return Ok(false);
        }
        Ok(true)
    }

    /// Reads a key and its colon.
    pub(super) fn key(&mut self) -> Result<Cow<'a, str>, Error> {
        if self.space() != Some(b'"') {
            return self.fail("looking for beginning of object key string");
        }
        let key = self.string()?;
        if self.space() != Some(b':') {
            return self.fail("after object key");
        }
        self.pos += 1;
        Ok(key)
    }

    /// Reads what follows a member and says whether another key does.
    pub(super) fn next_member(&mut self) -> Result<bool, Error> {
        match self.space() {
            Some(b',') => {
                self.pos += 1;
                Ok(true)
            }
            Some(b'}') => {
                self.leave();
                Ok(false)
            }
            Some(_) | None => self.fail("after object key:value pair"),
        }
    }

    /// Reads `[` and says whether an item follows.
    pub(super) fn open_array(&mut self) -> Result<bool, Error> {
        self.enter()?;
        if self.space() == Some(b']') {
            self.leave();
            return Ok(false);
        }
        Ok(true)
    }

    pub(super) fn next_item(&mut self) -> Result<bool, Error> {
        match self.space() {
            Some(b',') => {
                self.pos += 1;
                Ok(true)
            }
            Some(b']') => {
                self.leave();
                Ok(false)
            }
            Some(_) | None => self.fail("after array element"),
        }
    }

    fn leave(&mut self) {
        self.depth -= 1;
        self.pos += 1;
    }

    /// Reads `true`, `false` or `null`.
    pub(super) fn word(&mut self, word: &'static str) -> Result<(), Error> {
        for (idx, expected) in word.bytes().enumerate() {
            if self.bytes.get(self.pos) != Some(&expected) {
                return match idx {
                    0 => self.fail("looking for beginning of value"),
                    _ => self.fail(&format!("in literal {word} (expecting {})", quote_byte(expected))),
                };
            }
            self.pos += 1;
        }
        Ok(())
    }

    /// Reads a value and forgets it.
    pub(super) fn skip(&mut self) -> Result<(), Error> {
        match self.next()? {
            Next::Object => {
                let mut more = self.open_object()?;
                while more {
                    self.key()?;
                    self.skip()?;
                    more = self.next_member()?;
                }
                Ok(())
            }
            Next::Array => {
                let mut more = self.open_array()?;
                while more {
                    self.skip()?;
                    more = self.next_item()?;
                }
                Ok(())
            }
            Next::String => self.string().map(drop),
            Next::Number => self.number().map(drop),
            Next::True => self.word("true"),
            Next::False => self.word("false"),
            Next::Null => self.word("null"),
        }
    }

    /// Reads a number and gives its text.
    pub(super) fn number(&mut self) -> Result<&'a str, Error> {
        let start = self.pos;
        if self.peek() == Some(b'-') {
            self.pos += 1;
        }
        match self.peek() {
            Some(b'0') => self.pos += 1,
            Some(b'1'..=b'9') => self.digits(),
            Some(_) | None => return self.fail("in numeric literal"),
        }
        if self.peek() == Some(b'.') {
            self.pos += 1;
            self.some_digits("after decimal point in numeric literal")?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.pos += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.pos += 1;
            }
            self.some_digits("in exponent of numeric literal")?;
        }
        Ok(str::from_utf8(&self.bytes[start..self.pos]).expect("a number is ASCII"))
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.pos).copied()
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.pos += 1;
        }
    }

    fn some_digits(&mut self, context: &str) -> Result<(), Error> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return self.fail(context);
        }
        self.digits();
        Ok(())
    }

    /// Reads a string; what is no UTF-8 becomes U+FFFD, as in Go.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, Error> {
        self.pos += 1;
        let start = self.pos;
        loop {
            match self.peek() {
                Some(b'"') => {
                    let text = String::from_utf8_lossy(&self.bytes[start..self.pos]);
                    self.pos += 1;
                    return Ok(text);
                }
                Some(b'\\') => return self.escaped(start),
                Some(0..=0x1f) | None => return self.fail("in string literal"),
                Some(_) => self.pos += 1,
            }
        }
    }

    fn escaped(&mut self, start: usize) -> Result<Cow<'a, str>, Error> {
        let mut out = self.bytes[start..self.pos].to_vec();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.pos += 1;
                    return Ok(Cow::Owned(
                        String::from_utf8(out)
                            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()),
                    ));
                }
                Some(b'\\') => {
                    self.pos += 1;
                    self.escape(&mut out)?;
                }
                Some(0..=0x1f) | None => return self.fail("in string literal"),
                Some(byte) => {
                    out.push(byte);
                    self.pos += 1;
                }
            }
        }
    }

    fn escape(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let byte = match self.peek() {
            Some(b'b') => 0x08,
            Some(b'f') => 0x0c,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(byte @ (b'\\' | b'/' | b'"')) => byte,
            Some(b'u') => {
                self.pos += 1;
                return self.unicode(out);
            }
            Some(_) | None => return self.fail("in string escape code"),
        };
        out.push(byte);
        self.pos += 1;
        Ok(())
    }

    fn unicode(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let first = self.hex()?;
        let mut char = char::from_u32(first);
        if (0xd800..0xdc00).contains(&first) && self.bytes.get(self.pos..self.pos + 2) == Some(b"\\u") {
            let back = self.pos;
            self.pos += 2;
            let second = self.hex()?;
            if (0xdc00..0xe000).contains(&second) {
                char = char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00));
            } else {
                self.pos = back;
            }
        }
        let char = char.unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
        Ok(())
    }

    fn hex(&mut self) -> Result<u32, Error> {
        let mut value = 0;
        for _ in 0..4 {
            match self.peek().and_then(|byte| (byte as char).to_digit(16)) {
                Some(digit) => value = value * 16 + digit,
                None => return self.fail("in \\u hexadecimal character escape"),
            }
            self.pos += 1;
        }
        Ok(value)
    }
}
