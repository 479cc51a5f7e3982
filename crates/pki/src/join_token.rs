//! What a new node is given: a bootstrap token, and the hash by which it knows the cluster's authority.

use std::fmt;
use std::str::FromStr;

/// `ID.SECRET.HASH`: the first two are the bootstrap token that the API takes, the last is the SHA-256 of the authority's
/// public key in hexadecimal.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    pub id: String,
    pub secret: String,
    pub ca_hash: [u8; 32],
}

/// Why a text is no token.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is ID.SECRET.HASH as `coracle token create` prints it")]
pub struct Malformed;

impl JoinToken {
    /// What the API takes as a bearer token.
    pub fn bearer(&self) -> String {
        format!("{}.{}", self.id, self.secret)
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.", self.id, self.secret)?;
        self.ca_hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken").field("id", &self.id).finish_non_exhaustive()
    }
}

impl FromStr for JoinToken {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        let mut parts = text.trim().split('.');
        let (Some(id), Some(secret), Some(hash), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Malformed);
        };
        let plain = |text: &str, length| {
            text.len() == length && text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit())
        };
        if !(plain(id, 6) && plain(secret, 16) && plain(hash, 64)) {
            return Err(Malformed);
        }
        let mut ca_hash = [0; 32];
        for (idx, byte) in ca_hash.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hash[idx * 2..idx * 2 + 2], 16).map_err(|_| Malformed)?;
        }
        Ok(Self { id: id.to_owned(), secret: secret.to_owned(), ca_hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_is_written_and_keeps_its_secret_out_of_logs() {
        let token = JoinToken { id: "abcdef".into(), secret: "0123456789abcdef".into(), ca_hash: [0xa7; 32] };
        assert_eq!(token.to_string().parse(), Ok(token.clone()));
        assert_eq!(token.bearer(), "abcdef.0123456789abcdef");
        assert!(!format!("{token:?}").contains("0123456789"));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let hash = "a7".repeat(32);
        for text in ["", "abcdef.0123456789abcdef", &format!("abcdef.0123.{hash}"), "a.b.c.d"] {
            assert_eq!(text.parse::<JoinToken>(), Err(Malformed), "{text}");
        }
    }
}
