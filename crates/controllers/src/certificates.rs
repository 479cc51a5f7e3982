//! Requests for certificates: approved by rule, signed by the cluster's authority, and cleared away.

pub(crate) mod approval;
pub(crate) mod cleaner;
mod rules;
pub(crate) mod signer;

use coracle_pki::Request;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};

const KUBELET_CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";

fn has_condition(csr: &CertificateSigningRequest, kind: &str) -> bool {
    let conditions = csr.status.iter().filter_map(|status| status.conditions.as_deref()).flatten();
    conditions.into_iter().any(|condition| condition.type_ == kind)
}

fn certificate(csr: &CertificateSigningRequest) -> Option<&[u8]> {
    let certificate = csr.status.as_ref()?.certificate.as_ref()?;
    Some(certificate.0.as_slice()).filter(|certificate| !certificate.is_empty())
}

fn parse(csr: &CertificateSigningRequest) -> Result<Request, coracle_pki::Error> {
    Request::parse(&String::from_utf8_lossy(&csr.spec.request.0))
}

fn condition(kind: &str, reason: &str, message: String) -> CertificateSigningRequestCondition {
    CertificateSigningRequestCondition {
        type_: kind.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        ..CertificateSigningRequestCondition::default()
    }
}

/// The request with one more condition.
fn with_condition(
    csr: &CertificateSigningRequest,
    condition: CertificateSigningRequestCondition,
) -> CertificateSigningRequest {
    let mut csr = csr.clone();
    csr.status.get_or_insert_default().conditions.get_or_insert_default().push(condition);
    csr
}
