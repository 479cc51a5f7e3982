//! What a failed request's answer and the container's log have in common.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// An id that a client chose may be this long.
const LEN_MAX: usize = 128;

/// The client's own id of a request if it sent a plain one, otherwise one made up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    /// Of a request that turned out to need one, by what its head said.
    pub(crate) fn new(sent: Option<HeaderValue>) -> Self {
        let sent = sent.filter(|id| is_plain(id.as_bytes()));
        Self(sent.unwrap_or_else(|| {
            let made_up = Uuid::new_v4().simple().to_string();
            HeaderValue::from_str(&made_up).expect("hexadecimal digits are allowed")
        }))
    }

    /// What to remember of a request's head.
    pub(crate) fn sent(head: &HeaderMap) -> Option<HeaderValue> {
        head.get(HEADER).cloned()
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().expect("it is plain"))
    }
}

/// Nothing that could be mistaken for another line or field of a log.
fn is_plain(id: &[u8]) -> bool {
    let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(byte);
    (1..=LEN_MAX).contains(&id.len()) && id.iter().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_id_of_the_clients_is_kept_and_any_other_replaced() {
        let id = |sent: &'static str| RequestId::new(Some(HeaderValue::from_static(sent))).to_string();
        assert_eq!(id("7f3a-b.c"), "7f3a-b.c");
        for sent in ["", "a b", "a\"b", "[31m"] {
            assert_eq!(id(sent).len(), 32, "{sent}");
        }
        assert_ne!(RequestId::new(None), RequestId::new(None));
    }
}
