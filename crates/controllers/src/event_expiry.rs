//! Removes Events that nothing has been added to for an hour, as upstream's API server lets them expire.

use coracle_client::Key;
use coracle_stdx::Clock;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Event;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, Client};

use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::{Error, batch};

/// Upstream's `--event-ttl`.
const KEPT: SignedDuration = SignedDuration::from_hours(1);
/// Events that are in memory at one time.
const PAGE: u32 = 500;

pub(crate) struct EventExpiry {
    pub(crate) client: Client,
    pub(crate) clock: Clock,
}

impl Reconcile for EventExpiry {
    /// Looks at all events, whatever the key.
    async fn reconcile(&self, all: &Key) -> Result<Next, Error> {
        let api: Api<Event> = Api::all(self.client.clone());
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let events = api.list(&page).await.map_err(Error::at("list", all.clone()))?;
            let now = self.clock.now();
            let expired: Vec<Event> = events.items.into_iter().filter(|event| is_expired(event, now)).collect();
            let (_, failure) = batch::all(expired, |event| self.remove(event)).await;
            failure.map_or(Ok(()), Err)?;
            match events.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => return Ok(Next::Change),
            }
        }
    }
}

impl EventExpiry {
    async fn remove(&self, event: Event) -> Result<(), Error> {
        let key = Key::of(&event.metadata);
        let api: Api<Event> = Api::namespaced(self.client.clone(), &key.namespace);
        api.delete(&key.name, &DeleteParams::default()).await.unless_gone().map_err(Error::at("remove event", key))?;
        Ok(())
    }
}

fn is_expired(event: &Event, now: Timestamp) -> bool {
    let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
    let seen = [
        series,
        event.event_time.as_ref().map(|time| time.0),
        event.last_timestamp.as_ref().map(|time| time.0),
        event.metadata.creation_timestamp.as_ref().map(|time| time.0),
    ];
    seen.into_iter().flatten().max().is_some_and(|last| last + KEPT <= now)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(created: &str, last: Option<&str>) -> Event {
        let event = json!({
            "metadata": {"name": "e", "creationTimestamp": created}, "involvedObject": {}, "lastTimestamp": last,
        });
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn an_event_is_kept_for_an_hour_after_it_was_last_seen() {
        let now = "2026-01-01T12:00:00Z".parse().unwrap();
        assert!(is_expired(&event("2026-01-01T11:00:00Z", None), now));
        assert!(!is_expired(&event("2026-01-01T11:00:01Z", None), now));
        assert!(!is_expired(&event("2026-01-01T09:00:00Z", Some("2026-01-01T11:30:00Z")), now));
    }
}
