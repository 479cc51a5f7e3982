//! Removes bootstrap tokens whose time is over. Nobody can use them any more; it is for tidiness, not for safety.

use std::sync::Arc;

use coracle_client::{Key, is_conflict};
use coracle_stdx::Clock;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{DeleteParams, Preconditions};
use kube::{Api, Client};

use crate::Error;
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::Informers;

pub(crate) const NAMESPACE: &str = "kube-system";
pub(crate) const TYPE: &str = "bootstrap.kubernetes.io/token";

pub(crate) struct BootstrapTokens {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) clock: Clock,
}

/// When a token ends; `None` for one that does not. One whose end cannot be read is of no use to anybody, and has ended.
fn ends(token: &Secret) -> Option<Timestamp> {
    let text = token.data.as_ref()?.get("expiration").filter(|text| !text.0.is_empty())?;
    let end = std::str::from_utf8(&text.0).ok().and_then(|text| text.parse().ok());
    Some(end.unwrap_or(Timestamp::MIN))
}

impl Reconcile for BootstrapTokens {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(token) = self.informers.bootstrap_tokens.get(&key.namespace, &key.name) else {
            return Ok(Next::Change);
        };
        let (now, Some(ends)) = (self.clock.now(), ends(&token)) else { return Ok(Next::Change) };
        if ends > now {
            return Ok(Next::After(ends.duration_since(now).unsigned_abs()));
        }
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &key.namespace);
        let preconditions = Some(Preconditions { uid: token.metadata.uid.clone(), resource_version: None });
        let params = DeleteParams { preconditions, ..DeleteParams::default() };
        match api.delete(&key.name, &params).await {
            Err(error) if is_conflict(&error) => {}
            answer => drop(answer.unless_gone().map_err(Error::at("remove token", key.clone()))?),
        }
        Ok(Next::Change)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_token_ends_when_it_says_so_or_when_nobody_can_tell() {
        let ends_of = |data: serde_json::Value| {
            ends(&serde_json::from_value(json!({"metadata": {"name": "t"}, "stringData": {}, "data": data})).unwrap())
        };
        assert_eq!(ends_of(json!({})), None);
        assert_eq!(ends_of(json!({"expiration": ""})), None);
        // 2026-01-01T00:00:00Z
        let stated = ends_of(json!({"expiration": "MjAyNi0wMS0wMVQwMDowMDowMFo="}));
        assert_eq!(stated, Some("2026-01-01T00:00:00Z".parse().unwrap()));
        assert_eq!(ends_of(json!({"expiration": "c29vbg=="})), Some(Timestamp::MIN));
    }
}
