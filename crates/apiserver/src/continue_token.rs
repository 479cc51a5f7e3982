//! Continue tokens: where a paged list goes on, and at which revision. Clients never look inside.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use coracle_api::status::Status;
use serde::{Deserialize, Serialize};

const VERSION: &str = "meta.k8s.io/v1";
const ENGINE: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Where the next page begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Continuation {
    /// The revision of the first page; `None` when it is lost, and the present has to do.
    pub(crate) revision: Option<u64>,
    /// The last key of the page before, without the prefix of the list.
    pub(crate) after: String,
}

#[derive(Serialize, Deserialize)]
struct Token {
    #[serde(default)]
    v: String,
    #[serde(default)]
    rv: i64,
    #[serde(default)]
    start: String,
}

impl Continuation {
    pub(crate) fn encode(&self) -> String {
        let rv = self.revision.map_or(-1, |revision| i64::try_from(revision).expect("revisions count from zero"));
        // Upstream names the first key of the next page: the smallest string after the last one.
        let token = Token { v: VERSION.to_owned(), rv, start: format!("{}\0", self.after) };
        ENGINE.encode(serde_json::to_vec(&token).expect("a token always serialises"))
    }

    pub(crate) fn decode(token: &str) -> Result<Self, Status> {
        let invalid =
            |why: &str| Status::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
        let bytes = ENGINE.decode(token).map_err(|error| {
            let at = match error {
                base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                base64::DecodeError::InvalidLength(_) | base64::DecodeError::InvalidPadding => token.len(),
            };
            invalid(&format!("illegal base64 data at input byte {at}"))
        })?;
        let token: Token = serde_json::from_slice(&bytes).map_err(|_| invalid(&no_json(&bytes)))?;
        if token.v != VERSION {
            return Err(invalid(&format!("server does not recognize this encoded version {}", token.v)));
        }
        if token.rv == 0 {
            return Err(invalid(&format!("incorrect encoded start resourceVersion (version {VERSION})")));
        }
        if token.start.split('/').any(|part| matches!(part, "." | "..")) {
            return Err(invalid(&token.start));
        }
        let after = token.start.strip_suffix('\0').unwrap_or(&token.start).trim_start_matches('/').to_owned();
        Ok(Self { revision: u64::try_from(token.rv).ok(), after })
    }
}

/// Why Go's decoder refuses bytes that are no JSON: almost always the first one.
fn no_json(bytes: &[u8]) -> String {
    match bytes.first() {
        None => "unexpected end of JSON input".to_owned(),
        Some(&byte) if byte.is_ascii_graphic() => {
            format!("invalid character '{}' looking for beginning of value", char::from(byte))
        }
        Some(&byte) => format!("invalid character '\\u{byte:04x}' looking for beginning of value"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_where_to_go_on() {
        for revision in [Some(7), None] {
            let continuation = Continuation { revision, after: "default/a".into() };
            assert_eq!(Continuation::decode(&continuation.encode()).unwrap(), continuation);
        }
    }

    #[test]
    fn tokens_that_nobody_gave_out_are_refused_in_upstreams_words() {
        let check = |token: &str, why: &str| {
            let message = Continuation::decode(token).unwrap_err().message;
            assert_eq!(message, format!("invalid continue token: continue key is not valid: {why}"));
        };
        check("nonsense", "invalid character '\\u009e' looking for beginning of value");
        check("!!!", "illegal base64 data at input byte 0");
        check(
            "eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MCwic3RhcnQiOiJ4In0",
            "incorrect encoded start resourceVersion (version meta.k8s.io/v1)",
        );
        check(
            "eyJ2IjoibWV0YS5rOHMuaW8vdjkiLCJydiI6MSwic3RhcnQiOiJ4In0",
            "server does not recognize this encoded version meta.k8s.io/v9",
        );
        check("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6NSwic3RhcnQiOiIuLi8uLi94In0", "../../x");
    }
}
