//! Bootstrap tokens: `ID.SECRET`, kept as Secrets of `kube-system`, by which a machine that is not known yet may ask for a
//! certificate. What it may do beyond that is for authorisation.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use coracle_api::identity::User;
use coracle_api::status::Status;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::state::State;

const NAMESPACE: &str = "kube-system";
const TYPE: &str = "bootstrap.kubernetes.io/token";
const GROUP: &str = "system:bootstrappers";
const EXTRA_GROUP_LEN_MAX: usize = 255;

/// The two parts of a token that looks like one of these.
pub(super) fn parts(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let plain = |text: &str| text.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    (id.len() == 6 && secret.len() == 16 && plain(id) && plain(secret)).then_some((id, secret))
}

/// The user that a token speaks for, while its Secret is there and says so.
pub(super) async fn user_of(state: &State, id: &str, secret: &str) -> Result<Option<User>, Status> {
    let secrets = state.resource("", "v1", "secrets");
    let found = state.object(&secrets, NAMESPACE, &format!("bootstrap-token-{id}")).await?;
    Ok(found.and_then(|found| judge(&found, id, secret, Timestamp::now())))
}

fn judge(found: &Value, id: &str, secret: &str, now: Timestamp) -> Option<User> {
    let text = |key: &str| {
        let bytes = BASE64_STANDARD.decode(found["data"][key].as_str()?).ok()?;
        String::from_utf8(bytes).ok()
    };
    let lives = found["metadata"]["deletionTimestamp"] == json!(null);
    let expires = text("expiration").filter(|expires| !expires.is_empty());
    let in_time = expires.is_none_or(|expires| expires.parse::<Timestamp>().is_ok_and(|expires| expires > now));
    let is_it = found["type"] == TYPE
        && text("token-id").as_deref() == Some(id)
        && text("token-secret").is_some_and(|known| is_same(known.as_bytes(), secret.as_bytes()));
    if !(lives && in_time && is_it && text("usage-bootstrap-authentication").as_deref() == Some("true")) {
        return None;
    }
    let extra = text("auth-extra-groups").unwrap_or_default();
    let extra: Vec<&str> = extra.split(',').map(str::trim).filter(|group| !group.is_empty()).collect();
    if !extra.iter().all(|group| is_bootstrap_group(group)) {
        return None;
    }
    let groups: Vec<&str> = std::iter::once(GROUP).chain(extra).collect();
    Some(User::new(format!("system:bootstrap:{id}"), &groups))
}

/// Tokens may only be in groups below `system:bootstrappers:`.
fn is_bootstrap_group(group: &str) -> bool {
    let Some(rest) = group.strip_prefix(GROUP).and_then(|rest| rest.strip_prefix(':')) else { return false };
    let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit();
    rest.len() <= EXTRA_GROUP_LEN_MAX
        && rest.bytes().all(|c| plain(c) || c == b':' || c == b'-')
        && rest.bytes().last().is_some_and(plain)
}

/// Compares without telling by its time how much was right.
fn is_same(known: &[u8], given: &[u8]) -> bool {
    known.len() == given.len() && known.iter().zip(given).fold(0, |differing, (a, b)| differing | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(change: &[(&str, &str)]) -> Value {
        let mut data = json!({});
        let usual = [
            ("token-id", "abcdef"),
            ("token-secret", "0123456789abcdef"),
            ("usage-bootstrap-authentication", "true"),
            ("expiration", "2030-01-01T00:00:00Z"),
        ];
        for (key, value) in usual.iter().chain(change) {
            data[*key] = json!(BASE64_STANDARD.encode(value));
        }
        json!({"type": TYPE, "metadata": {"name": "bootstrap-token-abcdef"}, "data": data})
    }

    fn judged(found: &Value) -> Option<User> {
        judge(found, "abcdef", "0123456789abcdef", "2029-12-31T23:59:59Z".parse().unwrap())
    }

    #[test]
    fn a_token_speaks_for_a_bootstrapper_in_its_groups() {
        let user = judged(&secret(&[("auth-extra-groups", "system:bootstrappers:nodes")])).unwrap();
        assert_eq!(user.name, "system:bootstrap:abcdef");
        assert!(user.is_in(GROUP) && user.is_in("system:bootstrappers:nodes"));
    }

    #[test]
    fn a_token_is_refused_for_each_thing_that_is_wrong_with_it() {
        let wrong = [
            ("token-secret", "0123456789abcdeX"),
            ("token-id", "other0"),
            ("usage-bootstrap-authentication", "false"),
            ("expiration", "2029-12-31T23:59:59Z"),
            ("expiration", "some day"),
            ("auth-extra-groups", "system:masters"),
            ("auth-extra-groups", "system:bootstrappers:"),
        ];
        for change in wrong {
            assert!(judged(&secret(&[change])).is_none(), "{change:?}");
        }
        let mut leaving = secret(&[]);
        leaving["metadata"]["deletionTimestamp"] = json!("2029-01-01T00:00:00Z");
        assert!(judged(&leaving).is_none());
        let mut other = secret(&[]);
        other["type"] = json!("Opaque");
        assert!(judged(&other).is_none());
    }

    #[test]
    fn only_two_plain_words_of_the_right_length_are_a_bootstrap_token() {
        assert_eq!(parts("abcdef.0123456789abcdef"), Some(("abcdef", "0123456789abcdef")));
        for other in ["abcdef", "abcdef.0123", "ABCDEF.0123456789abcdef", "a.b.c", "abcde..0123456789abcdef"] {
            assert_eq!(parts(other), None, "{other}");
        }
    }
}
