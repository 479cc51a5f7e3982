//! The kinds of the core group.

use super::{fields, other, part, row, status, strings};
use crate::kind::{Generation, Kind};

mod fields_of;

pub(super) fn rows() -> Vec<Kind> {
    vec![
        config_map(),
        endpoints(),
        super::events::core(),
        namespace(),
        node(),
        pod(),
        pod_template(),
        secret(),
        service_account(),
        service(),
    ]
}

fn config_map() -> Kind {
    Kind { short_names: strings(&["cm"]), ..row("", "v1", "ConfigMap", "configmaps") }
}

fn endpoints() -> Kind {
    Kind {
        short_names: strings(&["ep"]),
        create_on_update: true,
        singular: "endpoints".to_owned(),
        ..row("", "v1", "Endpoints", "endpoints")
    }
}

fn namespace() -> Kind {
    Kind {
        namespaced: false,
        short_names: strings(&["ns"]),
        verbs: strings(&["create", "delete", "get", "list", "patch", "update", "watch"]),
        subresources: vec![part("Namespace", "", "finalize", &["update"]), status("Namespace", "")],
        fields: fields(&[("status.phase", fields_of::phase), ("name", fields_of::name)]),
        ..row("", "v1", "Namespace", "namespaces")
    }
}

fn node() -> Kind {
    Kind {
        namespaced: false,
        short_names: strings(&["no"]),
        subresources: vec![
            other("proxy", "", "v1", "NodeProxyOptions", &["create", "delete", "get", "patch", "update"]),
            status("Node", ""),
        ],
        fields: fields(&[("spec.unschedulable", fields_of::unschedulable)]),
        ..row("", "v1", "Node", "nodes")
    }
}

fn pod() -> Kind {
    Kind {
        short_names: strings(&["po"]),
        categories: strings(&["all"]),
        graceful: true,
        generation: Generation::Spec,
        subresources: pod_subresources(),
        fields: fields(fields_of::POD),
        ..row("", "v1", "Pod", "pods")
    }
}

fn pod_subresources() -> Vec<crate::kind::Subresource> {
    let own = ["get", "patch", "update"];
    vec![
        other("attach", "", "v1", "PodAttachOptions", &["create", "get"]),
        other("binding", "", "v1", "Binding", &["create"]),
        part("Pod", "", "ephemeralcontainers", &own),
        other("eviction", "policy", "v1", "Eviction", &["create"]),
        other("exec", "", "v1", "PodExecOptions", &["create", "get"]),
        part("Pod", "", "log", &["get"]),
        other("portforward", "", "v1", "PodPortForwardOptions", &["create", "get"]),
        other("proxy", "", "v1", "PodProxyOptions", &["create", "delete", "get", "patch", "update"]),
        part("Pod", "", "resize", &own),
        status("Pod", ""),
    ]
}

fn pod_template() -> Kind {
    Kind { generation: Generation::Content, ..row("", "v1", "PodTemplate", "podtemplates") }
}

fn secret() -> Kind {
    Kind { fields: fields(&[("type", fields_of::secret_type)]), ..row("", "v1", "Secret", "secrets") }
}

fn service_account() -> Kind {
    Kind {
        short_names: strings(&["sa"]),
        subresources: vec![other("token", "authentication.k8s.io", "v1", "TokenRequest", &["create"])],
        ..row("", "v1", "ServiceAccount", "serviceaccounts")
    }
}

fn service() -> Kind {
    Kind {
        short_names: strings(&["svc"]),
        categories: strings(&["all"]),
        create_on_update: true,
        subresources: vec![
            other("proxy", "", "v1", "ServiceProxyOptions", &["create", "delete", "get", "patch", "update"]),
            status("Service", ""),
        ],
        fields: fields(&[("spec.clusterIP", fields_of::cluster_ip), ("spec.type", fields_of::service_type)]),
        ..row("", "v1", "Service", "services")
    }
}
