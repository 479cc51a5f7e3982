//! Who asks: from the certificate of the connection, or from a token. In-process callers bring their identity along.

mod bootstrap;

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use coracle_api::identity::User;
use coracle_api::kind::uid_of;
use coracle_api::status::Status;
use coracle_pki::Subject;
use coracle_pki::tokens::{Claims, Reference, Rejection};
use http::header::AUTHORIZATION;
use http::request::Parts;
use parking_lot::Mutex;
use serde_json::json;

use crate::state::State;

/// Tokens whose signatures are remembered to be good.
const TOKENS_MAX: usize = 4096;

/// Tokens that were verified and have not expired. Whether what they name still exists is asked each time.
#[derive(Debug, Default)]
pub(crate) struct Tokens(Mutex<HashMap<String, Claims>>);

/// The user of a connection whose peer showed a certificate of this cluster.
pub(crate) fn user_of(subject: Subject) -> User {
    let groups: Vec<&str> = subject.organizations.iter().map(String::as_str).collect();
    User::new(subject.common_name.clone(), &groups)
}

/// Who sent this request. Without credentials one is anonymous; with wrong ones, nobody.
pub(crate) async fn authenticate(state: &State, parts: &Parts) -> Result<User, Status> {
    if let Some(user) = parts.extensions.get::<User>() {
        return Ok(user.clone());
    }
    let Some(header) = parts.headers.get(AUTHORIZATION) else { return Ok(User::anonymous()) };
    let text = header.to_str().map_err(|_| Status::unauthorized())?;
    let Some((scheme, token)) = text.split_once(' ') else { return Ok(User::anonymous()) };
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Ok(User::anonymous());
    }
    if let Some((id, secret)) = bootstrap::parts(token.trim()) {
        return bootstrap::user_of(state, id, secret).await?.ok_or_else(Status::unauthorized);
    }
    let audience = state.config.issuer();
    let found = user_of_token(state, token.trim(), &[&audience]).await?;
    found.map(|(user, _)| user).map_err(|_| Status::unauthorized())
}

/// The account that a token speaks for, if it is good, and which of `audiences` it is for; or why it is not.
pub(crate) async fn user_of_token(
    state: &State,
    token: &str,
    audiences: &[&str],
) -> Result<Result<(User, Vec<String>), String>, Status> {
    let claims = match claims(state, token, audiences) {
        Ok(claims) => claims,
        Err(rejection) => return Ok(Err(refusal(state, token, audiences, rejection))),
    };
    let gone = || Ok(Err(format!("[{INVALID}, service account token has been invalidated]")));
    let bound = &claims.kubernetes;
    let namespace = &bound.namespace;
    if !lives(state, "serviceaccounts", namespace, &bound.serviceaccount).await? {
        return gone();
    }
    let mut user = User::service_account(namespace, &bound.serviceaccount.name, &bound.serviceaccount.uid);
    user.extra.insert("authentication.kubernetes.io/credential-id".to_owned(), vec![format!("JTI={}", claims.jti)]);
    for (plural, reference) in [("pods", &bound.pod), ("secrets", &bound.secret), ("nodes", &bound.node)] {
        let Some(reference) = reference else { continue };
        // A node's removal does not end its pods' tokens, which are bound to the pods themselves.
        if plural != "nodes" && !lives(state, plural, namespace, reference).await? {
            return gone();
        }
        let singular = plural.trim_end_matches('s');
        for (what, value) in [("name", &reference.name), ("uid", &reference.uid)] {
            user.extra.insert(format!("authentication.kubernetes.io/{singular}-{what}"), vec![value.clone()]);
        }
    }
    let meant = claims.aud.into_iter().filter(|audience| audiences.contains(&audience.as_str())).collect();
    Ok(Ok((user, meant)))
}

const INVALID: &str = "invalid bearer token";

/// What a review says of a token that is not good: each kind of token in turn has its say.
fn refusal(state: &State, token: &str, audiences: &[&str], rejection: Rejection) -> String {
    let why = match rejection {
        Rejection::Expired => "service account token has expired".to_owned(),
        Rejection::TooEarly => "service account token is not valid yet".to_owned(),
        Rejection::OtherAudience => {
            let meant = state.pki.token_key().audiences(token, &state.config.issuer());
            let (meant, asked) = (quoted(meant.iter().map(String::as_str)), quoted(audiences.iter().copied()));
            format!("token audiences [{meant}] is invalid for the target audiences [{asked}]")
        }
        Rejection::Forged | Rejection::OtherIssuer => return INVALID.to_owned(),
    };
    format!("[{INVALID}, {why}]")
}

fn quoted<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    texts.map(coracle_api::validation::go_quote).collect::<Vec<_>>().join(" ")
}

fn claims(state: &State, token: &str, audiences: &[&str]) -> Result<Claims, Rejection> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut known = state.tokens.0.lock();
    if let Some(claims) = known.get(token)
        && claims.exp > now
        && claims.aud.iter().any(|audience| audiences.contains(&audience.as_str()))
    {
        return Ok(claims.clone());
    }
    drop(known);
    let claims = state.pki.token_key().verify(token, &state.config.issuer(), audiences)?;
    known = state.tokens.0.lock();
    if known.len() >= TOKENS_MAX {
        known.clear();
    }
    known.insert(token.to_owned(), claims.clone());
    Ok(claims)
}

/// True while the object that a token is bound to is there and the same.
async fn lives(state: &State, plural: &str, namespace: &str, reference: &Reference) -> Result<bool, Status> {
    let kind = state.resource("", "v1", plural);
    let found = state.object(&kind, namespace, &reference.name).await?;
    Ok(found.is_some_and(|object| {
        uid_of(&object) == reference.uid && object["metadata"]["deletionTimestamp"] == json!(null)
    }))
}
