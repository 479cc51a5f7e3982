//! Secrets and service accounts.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

const MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";

/// A key pair that no TLS server could use. Only its outer form is looked at.
pub(crate) fn secret(new: &Value, _: Option<&Value>) -> Vec<String> {
    if new["type"] != "kubernetes.io/tls" {
        return Vec::new();
    }
    let blocks = |key: &str| {
        let text = STANDARD.decode(new["data"][key].as_str().unwrap_or_default()).unwrap_or_default();
        pem_types(&String::from_utf8_lossy(&text))
    };
    let problem = certificates(&blocks("tls.crt")).or_else(|| keys(&blocks("tls.key")));
    problem.map(|problem| format!("tls: {problem}")).into_iter().collect()
}

fn certificates(types: &[String]) -> Option<String> {
    match types {
        [] => Some("failed to find any PEM data in certificate input".to_owned()),
        _ if types.iter().any(|t| t == "CERTIFICATE") => None,
        [only] if only.ends_with("PRIVATE KEY") => Some(
            "failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been switched"
                .to_owned(),
        ),
        types => Some(format!(
            "failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: [{}]",
            types.join(" ")
        )),
    }
}

fn keys(types: &[String]) -> Option<String> {
    match types {
        [] => Some("failed to find any PEM data in key input".to_owned()),
        _ if types.iter().any(|t| t == "PRIVATE KEY" || t.ends_with(" PRIVATE KEY")) => None,
        [only] if only == "CERTIFICATE" => {
            Some("found a certificate rather than a key in the PEM for the private key".to_owned())
        }
        types => Some(format!(
            "failed to find PEM block with type ending in \"PRIVATE KEY\" in key input after skipping PEM blocks of the following types: [{}]",
            types.join(" ")
        )),
    }
}

/// The types of the PEM blocks of a text.
fn pem_types(text: &str) -> Vec<String> {
    let mut types = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once("-----BEGIN ") {
        let Some((name, body)) = after.split_once("-----") else { break };
        rest = body;
        if let Some((contents, after)) = body.split_once(&format!("-----END {name}-----")) {
            let contents: String = contents.chars().filter(|c| !c.is_whitespace()).collect();
            types.extend(STANDARD.decode(contents).is_ok().then(|| name.to_owned()));
            rest = after;
        }
    }
    types
}

pub(crate) fn service_account(new: &Value, old: Option<&Value>) -> Vec<String> {
    let has = |object: &Value| object["metadata"]["annotations"].get(MOUNTABLE).is_some();
    if !has(new) || old.is_some_and(has) {
        return Vec::new();
    }
    let why = "deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets";
    vec![format!("metadata.annotations[{MOUNTABLE}]: {why}")]
}
