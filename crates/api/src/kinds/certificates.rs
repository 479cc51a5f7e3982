//! The kinds of the group `certificates.k8s.io`.

use serde_json::{Value, json};

use super::{READ_WRITE, fields, part, row, status, strings};
use crate::kind::{Hooks, Kind, Part, keep};
use crate::{columns, validation};

const GROUP: &str = "certificates.k8s.io";
const KIND: &str = "CertificateSigningRequest";

pub(super) fn rows() -> Vec<Kind> {
    vec![Kind {
        namespaced: false,
        short_names: strings(&["csr"]),
        subresources: vec![part(KIND, GROUP, "approval", &READ_WRITE), status(KIND, GROUP)],
        fields: fields(&[("spec.signerName", |csr| csr["spec"]["signerName"].as_str().unwrap_or_default().to_owned())]),
        columns: columns::cluster::certificate_request(),
        hooks: Hooks {
            prepare_update: update,
            validate: validation::certificates::request,
            validate_update: validation::certificates::request_update,
            validate_name: |_, _| Vec::new(),
            ..Hooks::default()
        },
        empty_status: Some(json!({})),
        ..row(GROUP, "v1", KIND, "certificatesigningrequests")
    }]
}

/// What is asked for never changes; a decision changes the conditions only.
fn update(new: &mut Value, old: &Value, part: Part) {
    if part == Part::Object {
        keep(new, old, &["spec"]);
    }
    if part == Part::Approval {
        let conditions = new["status"]["conditions"].take();
        keep(new, old, &["spec", "status"]);
        new["status"]["conditions"] = conditions;
        crate::kind::drop_null(&mut new["status"], "conditions");
    }
}
