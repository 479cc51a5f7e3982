//! The protobuf wire format: tags, varints and length-delimited bytes, borrowed from the body.

use super::Error;
use crate::schema::Scalar;

/// One field's value on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Token<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

impl Token<'_> {
    pub(super) fn wire_type(self) -> u8 {
        match self {
            Token::Varint(_) => 0,
            Token::Fixed64(_) => 1,
            Token::Bytes(_) => 2,
            Token::Fixed32(_) => 5,
        }
    }
}

pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { rest: bytes }
    }

    fn varint(&mut self) -> Result<u64, Error> {
        let mut value = 0u64;
        for (idx, &byte) in self.rest.iter().enumerate().take(10) {
            value |= u64::from(byte & 0x7f).checked_shl(7 * idx as u32).ok_or(Error::Overflow)?;
            if byte < 0x80 {
                self.rest = &self.rest[idx + 1..];
                return Ok(value);
            }
        }
        Err(if self.rest.len() >= 10 { Error::Overflow } else { Error::Truncated })
    }

    fn take(&mut self, n_bytes: usize) -> Result<&'a [u8], Error> {
        let (taken, rest) = self.rest.split_at_checked(n_bytes).ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        Ok(self.take(N)?.try_into().expect("as many bytes were taken"))
    }

    /// The next field's number and value, or nothing at the end.
    pub(super) fn field(&mut self) -> Result<Option<(u32, Token<'a>)>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|number| *number > 0).ok_or(Error::Tag(tag))?;
        let token = match tag & 7 {
            0 => Token::Varint(self.varint()?),
            1 => Token::Fixed64(u64::from_le_bytes(self.fixed()?)),
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| Error::Truncated)?;
                Token::Bytes(self.take(len)?)
            }
            5 => Token::Fixed32(u32::from_le_bytes(self.fixed()?)),
            other => return Err(Error::WireType(other as u8)),
        };
        Ok(Some((number, token)))
    }

    /// The next value of a packed list.
    pub(super) fn packed(&mut self, scalar: Scalar) -> Result<Option<Token<'a>>, Error> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        Ok(Some(match scalar {
            Scalar::Double => Token::Fixed64(u64::from_le_bytes(self.fixed()?)),
            _ => Token::Varint(self.varint()?),
        }))
    }
}
