//! Removes requests that nobody will look at again: an hour after their answer, or a day without one.

use std::sync::Arc;

use coracle_client::Key;
use coracle_stdx::Clock;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::DeleteParams;
use kube::{Api, Client};

use super::{certificate, has_condition};
use crate::Error;
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::Informers;

const KEPT_ANSWERED: SignedDuration = SignedDuration::from_hours(1);
const KEPT_PENDING: SignedDuration = SignedDuration::from_hours(24);

pub(crate) struct Cleaner {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) clock: Clock,
}

/// When a request goes; its answer may come later, or its certificate end earlier.
fn ends(csr: &CertificateSigningRequest) -> Option<Timestamp> {
    let created = csr.metadata.creation_timestamp.as_ref()?.0;
    let conditions = csr.status.iter().filter_map(|status| status.conditions.as_deref()).flatten();
    let latest = conditions.filter_map(|condition| condition.last_update_time.as_ref().map(|time| time.0)).max();
    let issued = certificate(csr).is_some();
    if has_condition(csr, "Denied") || has_condition(csr, "Failed") || (has_condition(csr, "Approved") && issued) {
        return latest.unwrap_or(created).checked_add(KEPT_ANSWERED).ok();
    }
    created.checked_add(KEPT_PENDING).ok()
}

fn is_expired(csr: &CertificateSigningRequest, now: Timestamp) -> bool {
    let Some(pem) = certificate(csr) else { return false };
    let until = coracle_pki::validity(&String::from_utf8_lossy(pem)).ok().map(|(_, until)| until);
    until.and_then(|until| Timestamp::try_from(until).ok()).is_some_and(|until| until < now)
}

impl Reconcile for Cleaner {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(csr) = self.informers.certificate_requests.get("", &key.name) else { return Ok(Next::Change) };
        let (now, Some(ends)) = (self.clock.now(), ends(&csr)) else { return Ok(Next::Change) };
        if ends > now && !is_expired(&csr, now) {
            let wait = ends.duration_since(now).unsigned_abs();
            return Ok(Next::After(wait));
        }
        let api: Api<CertificateSigningRequest> = Api::all(self.client.clone());
        let answer = api.delete(&key.name, &DeleteParams::default()).await;
        answer.unless_gone().map_err(Error::at("remove", key.clone()))?;
        Ok(Next::Change)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::super::{condition, with_condition};
    use super::*;

    #[test]
    fn an_answer_is_kept_for_an_hour_and_a_question_for_a_day() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let mut csr = CertificateSigningRequest::default();
        csr.metadata.creation_timestamp = Some(Time(at("2026-01-01T00:00:00Z")));
        assert_eq!(ends(&csr), Some(at("2026-01-02T00:00:00Z")));
        let mut denied = condition("Denied", "No", String::new());
        denied.last_update_time = Some(Time(at("2026-01-01T10:00:00Z")));
        assert_eq!(ends(&with_condition(&csr, denied)), Some(at("2026-01-01T11:00:00Z")));
    }
}
