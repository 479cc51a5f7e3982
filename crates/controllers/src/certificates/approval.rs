//! Approves what nodes ask for by themselves: their first certificate, and its renewals.

use std::sync::Arc;

use coracle_client::Key;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::PostParams;
use kube::{Api, Client};

use super::{KUBELET_CLIENT, certificate, condition, has_condition, parse, rules, with_condition};
use crate::Error;
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::Informers;

const GROUP: &str = "certificates.k8s.io";
const RESOURCE: &str = "certificatesigningrequests";

pub(crate) struct Approvals {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
}

/// The right by which a request is approved, and what is said of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Ground {
    subresource: &'static str,
    message: &'static str,
}

const RENEWAL: Ground = Ground {
    subresource: "selfnodeclient",
    message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
};
const FIRST: Ground = Ground {
    subresource: "nodeclient",
    message: "Auto approving kubelet client certificate after SubjectAccessReview.",
};

/// The rights that would approve a request, the first that its maker has decides.
fn grounds(csr: &CertificateSigningRequest) -> Vec<Ground> {
    let is_decided = certificate(csr).is_some() || has_condition(csr, "Approved") || has_condition(csr, "Denied");
    if is_decided || csr.spec.signer_name != KUBELET_CLIENT {
        return Vec::new();
    }
    let Ok(request) = parse(csr) else { return Vec::new() };
    let usages = csr.spec.usages.as_deref().unwrap_or_default();
    if !matches!(rules::check(KUBELET_CLIENT, &request, usages), Some(Ok(()))) {
        return Vec::new();
    }
    let is_own = csr.spec.username.as_deref() == Some(request.subject.common_name.as_str());
    is_own.then_some(RENEWAL).into_iter().chain([FIRST]).collect()
}

impl Reconcile for Approvals {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(csr) = self.informers.certificate_requests.get("", &key.name) else { return Ok(Next::Change) };
        for ground in grounds(&csr) {
            if self.may(&csr, ground).await.map_err(Error::at("ask for rights on", key.clone()))? {
                let approved = with_condition(&csr, condition("Approved", "AutoApproved", ground.message.to_owned()));
                let api: Api<CertificateSigningRequest> = Api::all(self.client.clone());
                let answer = api.replace_subresource("approval", &key.name, &PostParams::default(), &approved).await;
                answer.unless_gone().map_err(Error::at("approve", key.clone()))?;
                return Ok(Next::Change);
            }
        }
        Ok(Next::Change)
    }
}

impl Approvals {
    async fn may(&self, csr: &CertificateSigningRequest, ground: Ground) -> kube::Result<bool> {
        let spec = SubjectAccessReviewSpec {
            user: csr.spec.username.clone(),
            uid: csr.spec.uid.clone(),
            groups: csr.spec.groups.clone(),
            extra: csr.spec.extra.clone(),
            resource_attributes: Some(ResourceAttributes {
                group: Some(GROUP.to_owned()),
                resource: Some(RESOURCE.to_owned()),
                subresource: Some(ground.subresource.to_owned()),
                verb: Some("create".to_owned()),
                ..ResourceAttributes::default()
            }),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        let answer = api.create(&PostParams::default(), &review).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;

    use super::*;

    fn csr(username: &str, signer: &str) -> CertificateSigningRequest {
        let made = coracle_pki::signing_request("system:node:n1", "system:nodes").unwrap();
        let mut csr = CertificateSigningRequest::default();
        csr.spec.request = ByteString(made.request_pem.into_bytes());
        csr.spec.username = Some(username.to_owned());
        csr.spec.signer_name = signer.to_owned();
        csr.spec.usages = Some(vec!["client auth".to_owned(), "digital signature".to_owned()]);
        csr
    }

    #[test]
    fn a_node_may_renew_and_who_joins_may_become_one() {
        assert_eq!(grounds(&csr("system:node:n1", KUBELET_CLIENT)), [RENEWAL, FIRST]);
        assert_eq!(grounds(&csr("system:bootstrap:abc", KUBELET_CLIENT)), [FIRST]);
        assert_eq!(grounds(&csr("system:node:n1", "kubernetes.io/kube-apiserver-client")), []);
    }

    #[test]
    fn what_is_decided_is_left_alone() {
        let denied = with_condition(&csr("system:node:n1", KUBELET_CLIENT), condition("Denied", "No", String::new()));
        assert_eq!(grounds(&denied), []);
    }
}
