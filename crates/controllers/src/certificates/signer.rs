//! Signs what was approved with the cluster's authority, or says why it does not.

use std::sync::Arc;
use std::time::Duration;

use coracle_client::Key;
use coracle_pki::Pki;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::PostParams;
use kube::{Api, Client};
use tracing::info;

use super::{certificate, condition, has_condition, parse, rules, with_condition};
use crate::Error;
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::Informers;

/// The longest life of a certificate, and the usual one.
const VALIDITY: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const VALIDITY_MIN: Duration = Duration::from_secs(600);

pub(crate) struct Signer {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) pki: Pki,
}

/// What becomes of a request.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Leave,
    Refuse(String),
    Sign(Duration),
}

fn decide(csr: &CertificateSigningRequest) -> Answer {
    if !has_condition(csr, "Approved") || has_condition(csr, "Denied") || has_condition(csr, "Failed") {
        return Answer::Leave;
    }
    if certificate(csr).is_some() {
        return Answer::Leave;
    }
    let request = match parse(csr) {
        Ok(request) => request,
        Err(error) => return Answer::Refuse(error.to_string()),
    };
    match rules::check(&csr.spec.signer_name, &request, csr.spec.usages.as_deref().unwrap_or_default()) {
        None => Answer::Leave,
        Some(Err(why)) => Answer::Refuse(why),
        Some(Ok(())) => Answer::Sign(validity(csr.spec.expiration_seconds)),
    }
}

fn validity(asked: Option<i32>) -> Duration {
    let asked = asked.and_then(|seconds| u64::try_from(seconds).ok()).map(Duration::from_secs);
    asked.map_or(VALIDITY, |asked| asked.clamp(VALIDITY_MIN, VALIDITY))
}

impl Reconcile for Signer {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(csr) = self.informers.certificate_requests.get("", &key.name) else { return Ok(Next::Change) };
        let answered = match decide(&csr) {
            Answer::Leave => return Ok(Next::Change),
            Answer::Refuse(why) => with_condition(&csr, condition("Failed", "SignerValidationFailure", why)),
            Answer::Sign(validity) => match self.sign(&csr, validity) {
                Ok(pem) => {
                    let mut csr = (*csr).clone();
                    csr.status.get_or_insert_default().certificate = Some(ByteString(pem.into_bytes()));
                    info!(request = %key, signer = %csr.spec.signer_name, "signed a certificate");
                    csr
                }
                Err(error) => with_condition(&csr, condition("Failed", "SigningFailure", error.to_string())),
            },
        };
        let api: Api<CertificateSigningRequest> = Api::all(self.client.clone());
        let answer = api.replace_status(&key.name, &PostParams::default(), &answered).await;
        answer.unless_gone().map_err(Error::at("answer", key.clone()))?;
        Ok(Next::Change)
    }
}

impl Signer {
    fn sign(&self, csr: &CertificateSigningRequest, validity: Duration) -> Result<String, coracle_pki::Error> {
        let usages: Vec<&str> = csr.spec.usages.iter().flatten().map(String::as_str).collect();
        self.pki.sign(&parse(csr)?, &usages, validity)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn csr(conditions: &[&str]) -> CertificateSigningRequest {
        let made = coracle_pki::signing_request("jane", "team").unwrap();
        let mut csr = CertificateSigningRequest::default();
        csr.spec.request = ByteString(made.request_pem.into_bytes());
        csr.spec.signer_name = "kubernetes.io/kube-apiserver-client".to_owned();
        csr.spec.usages = Some(vec!["client auth".to_owned()]);
        conditions.iter().fold(csr, |csr, kind| with_condition(&csr, condition(kind, "R", String::new())))
    }

    #[test]
    fn only_what_is_approved_is_signed() {
        assert_eq!(decide(&csr(&[])), Answer::Leave);
        assert_eq!(decide(&csr(&["Denied"])), Answer::Leave);
        assert_eq!(decide(&csr(&["Approved", "Failed"])), Answer::Leave);
        assert_eq!(decide(&csr(&["Approved"])), Answer::Sign(VALIDITY));
        let mut another = csr(&["Approved"]);
        another.spec.signer_name = "example.com/mine".to_owned();
        assert_eq!(decide(&another), Answer::Leave);
        another.spec.signer_name = "kubernetes.io/kubelet-serving".to_owned();
        assert!(matches!(decide(&another), Answer::Refuse(_)));
    }

    #[test]
    fn a_life_is_as_long_as_asked_within_bounds() {
        assert_eq!(validity(Some(3600)), Duration::from_secs(3600));
        assert_eq!(validity(Some(1)), VALIDITY_MIN);
        assert_eq!(validity(Some(i32::MAX)), VALIDITY);
        assert_eq!(validity(None), VALIDITY);
    }
}
