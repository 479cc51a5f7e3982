//! What each signer demands of the requests that it signs.

use std::collections::BTreeSet;

use coracle_pki::Request;

const CLIENT: &str = "kubernetes.io/kube-apiserver-client";
const SERVING: &str = "kubernetes.io/kubelet-serving";
const NODES: &str = "system:nodes";
const NODE_PREFIX: &str = "system:node:";

/// The signers that are known here: `None` for another one's, otherwise why a request is refused.
pub(super) fn check(signer: &str, request: &Request, usages: &[String]) -> Option<Result<(), String>> {
    match signer {
        super::KUBELET_CLIENT => Some(kubelet_client(request, usages)),
        SERVING => Some(kubelet_serving(request, usages)),
        CLIENT => Some(client(usages)),
        _ => None,
    }
}

fn client(usages: &[String]) -> Result<(), String> {
    let optional = ["digital signature", "key encipherment", "client auth"];
    if let Some(other) = usages.iter().find(|usage| !optional.contains(&usage.as_str())) {
        return Err(format!("invalid usage for client certificate: {other}"));
    }
    if usages.iter().any(|usage| usage == "client auth") {
        return Ok(());
    }
    Err("missing required usage for client certificate: client auth".to_owned())
}

/// A node proves who it is.
fn kubelet_client(request: &Request, usages: &[String]) -> Result<(), String> {
    organization(request)?;
    let names = [
        ("DNS", request.dns_names.is_empty()),
        ("Email", request.emails.is_empty()),
        ("IP", request.ip_addresses.is_empty()),
        ("URI", request.uris.is_empty()),
    ];
    if let Some((kind, _)) = names.iter().find(|(_, is_empty)| !is_empty) {
        return Err(format!("{kind} subjectAltNames are not allowed"));
    }
    common_name(request)?;
    exactly(usages, "client auth")
}

/// A node answers on its own names and addresses.
fn kubelet_serving(request: &Request, usages: &[String]) -> Result<(), String> {
    organization(request)?;
    if request.dns_names.is_empty() && request.ip_addresses.is_empty() {
        return Err("DNS or IP subjectAltName is required".to_owned());
    }
    if !request.emails.is_empty() {
        return Err("Email subjectAltNames are not allowed".to_owned());
    }
    if !request.uris.is_empty() {
        return Err("URI subjectAltNames are not allowed".to_owned());
    }
    exactly(usages, "server auth")?;
    common_name(request)
}

fn organization(request: &Request) -> Result<(), String> {
    if request.subject.organizations == [NODES] {
        return Ok(());
    }
    Err("subject organization is not system:nodes".to_owned())
}

fn common_name(request: &Request) -> Result<(), String> {
    if request.subject.common_name.starts_with(NODE_PREFIX) {
        return Ok(());
    }
    Err("subject common name does not begin with system:node:".to_owned())
}

/// Keys other than RSA's need no encipherment.
fn exactly(usages: &[String], purpose: &str) -> Result<(), String> {
    let given: BTreeSet<&str> = usages.iter().map(String::as_str).collect();
    let needed = BTreeSet::from([purpose, "digital signature"]);
    let with_rsa = BTreeSet::from([purpose, "digital signature", "key encipherment"]);
    if given == needed || given == with_rsa {
        return Ok(());
    }
    let all: Vec<&str> = with_rsa.into_iter().collect();
    Err(format!("usages did not match [{}]", all.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request() -> Request {
        let made = coracle_pki::signing_request("system:node:n1", NODES).unwrap();
        Request::parse(&made.request_pem).unwrap()
    }

    fn said(signer: &str, request: &Request, usages: &[&str]) -> String {
        let usages: Vec<String> = usages.iter().map(|usage| (*usage).to_owned()).collect();
        match check(signer, request, &usages) {
            None => "not ours".to_owned(),
            Some(Ok(())) => String::new(),
            Some(Err(why)) => why,
        }
    }

    #[test]
    fn each_signer_has_its_demands() {
        let node = request();
        let mut stranger = request();
        stranger.subject.organizations = vec!["team".into()];
        let mut named = request();
        named.dns_names = vec!["n1".into()];
        let rsa = ["client auth", "digital signature", "key encipherment"];
        let serving = ["server auth", "digital signature"];
        let table: [(&str, &Request, &[&str], &str); 9] = [
            (super::super::KUBELET_CLIENT, &node, &rsa, ""),
            (super::super::KUBELET_CLIENT, &node, &rsa[..2], ""),
            (super::super::KUBELET_CLIENT, &stranger, &rsa, "subject organization is not system:nodes"),
            (super::super::KUBELET_CLIENT, &named, &rsa, "DNS subjectAltNames are not allowed"),
            (
                super::super::KUBELET_CLIENT,
                &node,
                &serving,
                "usages did not match [client auth digital signature key encipherment]",
            ),
            (SERVING, &node, &serving, "DNS or IP subjectAltName is required"),
            (SERVING, &named, &serving, ""),
            (CLIENT, &stranger, &serving, "invalid usage for client certificate: server auth"),
            ("example.com/mine", &node, &rsa, "not ours"),
        ];
        for (signer, request, usages, why) in table {
            assert_eq!(said(signer, request, usages), why, "{signer}");
        }
    }
}
