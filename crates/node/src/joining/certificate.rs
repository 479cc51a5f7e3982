//! Asks for a node's certificate through the CertificateSigningRequest API, and waits until it is signed.

use coracle_client::Informer;
use coracle_pki::Identity;
use coracle_stdx::{CancellationToken, Scope};
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestSpec};
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, ResourceExt};
use tracing::info;

use super::Error;

const SIGNER: &str = "kubernetes.io/kube-apiserver-client-kubelet";

/// A certificate with a fresh key by which one is the node `name`.
pub(super) async fn obtain(client: &Client, name: &str, token: &CancellationToken) -> Result<Identity, Error> {
    let own = coracle_pki::signing_request(&format!("system:node:{name}"), "system:nodes")?;
    let api: Api<CertificateSigningRequest> = Api::all(client.clone());
    let created = api.create(&PostParams::default(), &request(&own.request_pem)).await.map_err(refused)?;
    let request = created.name_any();
    info!(node = %name, %request, "waiting for a certificate");
    let signed = token.run_until_cancelled(signed(api, &request, token)).await;
    let certificate_pem = signed.flatten().ok_or(Error::Stopped)??;
    Ok(Identity { certificate_pem, key_pem: own.key_pem })
}

fn refused(error: kube::Error) -> Error {
    match &error {
        kube::Error::Api(status) if status.code == 401 => Error::TokenRefused,
        _ => Error::Ask { source: Box::new(error) },
    }
}

fn request(pem: &str) -> CertificateSigningRequest {
    CertificateSigningRequest {
        metadata: ObjectMeta { generate_name: Some("node-csr-".to_owned()), ..ObjectMeta::default() },
        spec: CertificateSigningRequestSpec {
            request: ByteString(pem.as_bytes().to_vec()),
            signer_name: SIGNER.to_owned(),
            usages: Some(["digital signature", "client auth"].map(str::to_owned).to_vec()),
            ..CertificateSigningRequestSpec::default()
        },
        status: None,
    }
}

async fn signed(
    api: Api<CertificateSigningRequest>,
    name: &str,
    token: &CancellationToken,
) -> Option<Result<String, Error>> {
    let mut scope: Scope = Scope::child_of(token);
    let requests = Informer::new(api).fields(format!("metadata.name={name}"));
    requests.start(&mut scope);
    let mut changed = requests.changed();
    loop {
        changed.borrow_and_update();
        if let Some(outcome) = requests.get("", name).and_then(|request| outcome(&request)) {
            return Some(outcome);
        }
        changed.changed().await.ok()?;
    }
}

/// What came of a request, once something has.
fn outcome(request: &CertificateSigningRequest) -> Option<Result<String, Error>> {
    let status = request.status.as_ref()?;
    let refusal = status.conditions.iter().flatten().find(|c| matches!(c.type_.as_str(), "Denied" | "Failed"));
    if let Some(refusal) = refusal {
        let why = refusal.message.clone().filter(|why| !why.is_empty()).unwrap_or_else(|| refusal.type_.clone());
        return Some(Err(Error::NotGranted { why }));
    }
    let pem = status.certificate.as_ref().filter(|pem| !pem.0.is_empty())?;
    Some(Ok(String::from_utf8_lossy(&pem.0).into_owned()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn with_status(status: serde_json::Value) -> CertificateSigningRequest {
        CertificateSigningRequest { status: serde_json::from_value(status).unwrap(), ..request("PEM") }
    }

    #[test]
    fn a_request_waits_until_it_is_signed_or_refused() {
        assert!(outcome(&request("PEM")).is_none());
        let approved = json!({"type": "Approved", "status": "True", "reason": "AutoApproved"});
        assert!(outcome(&with_status(json!({"conditions": [approved]}))).is_none());
        let denied = json!({"type": "Denied", "status": "True", "message": "not you"});
        let refused = outcome(&with_status(json!({"conditions": [denied]}))).unwrap().unwrap_err();
        assert_eq!(refused.to_string(), "the request for a certificate was not granted: not you");
        let signed = with_status(json!({"conditions": [approved], "certificate": "UEVN"}));
        assert_eq!(outcome(&signed).unwrap().unwrap(), "PEM");
    }
}
