//! The kinds of the core group.

use serde_json::json;

use super::{fields, other, part, row, status, strings};
use crate::kind::{Generation, Hooks, Kind};
use crate::{columns, defaults, names, validation, warnings};

mod fields_of;
mod limits;
mod prepare;
pub mod qos;
mod volumes;

pub(super) fn rows() -> Vec<Kind> {
    vec![
        config_map(),
        endpoints(),
        super::events::core(),
        limits::limit_range(),
        namespace(),
        node(),
        volumes::persistent_volume_claim(),
        volumes::persistent_volume(),
        pod(),
        pod_template(),
        limits::resource_quota(),
        secret(),
        service_account(),
        service(),
    ]
}

fn config_map() -> Kind {
    Kind {
        short_names: strings(&["cm"]),
        columns: columns::core::config_map(),
        hooks: Hooks {
            validate: validation::config::config_map,
            validate_update: validation::config::config_map_update,
            ..Hooks::default()
        },
        ..row("", "v1", "ConfigMap", "configmaps")
    }
}

fn endpoints() -> Kind {
    Kind {
        short_names: strings(&["ep"]),
        create_on_update: true,
        singular: "endpoints".to_owned(),

        deprecation: Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice".to_owned()),
        columns: columns::network::endpoints(),
        hooks: Hooks {
            defaults: defaults::network::endpoints,
            validate: validation::slices::endpoints_object,
            validate_update: validation::slices::endpoints_update,
            warnings: warnings::endpoints,
            ..Hooks::default()
        },
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

        columns: columns::core::namespace(),
        hooks: Hooks {
            defaults: defaults::core::namespace,
            prepare_create: prepare::namespace_create,
            prepare_update: prepare::namespace_update,
            validate: validation::namespaces::namespace,
            validate_update: validation::namespaces::namespace_update,
            validate_name: names::dns_label_name,
            ..Hooks::default()
        },
        returns_deleted: true,
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

        columns: columns::node::node(),
        hooks: Hooks {
            defaults: defaults::core::node,
            validate: validation::nodes::node,
            validate_update: validation::nodes::node_update,
            warnings: warnings::node,
            ..Hooks::default()
        },
        status_on_create: true,
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

        columns: columns::pod::pod(),
        hooks: Hooks {
            defaults: defaults::pod::pod,
            prepare_create: prepare::pod_create,
            prepare_update: prepare::pod_update,
            validate: validation::pod::validate,
            validate_update: validation::pod::validate_update,
            warnings: warnings::pod,
            ..Hooks::default()
        },
        returns_deleted: true,
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
    Kind {
        generation: Generation::Content,
        columns: columns::apps::pod_template(),
        hooks: Hooks {
            defaults: defaults::apps::pod_template,
            validate: validation::apps::pod_template,
            validate_update: |new, _, _| validation::apps::pod_template(new),
            warnings: warnings::pod_template,
            ..Hooks::default()
        },
        returns_deleted: true,
        ..row("", "v1", "PodTemplate", "podtemplates")
    }
}

fn secret() -> Kind {
    Kind {
        fields: fields(&[("type", fields_of::secret_type)]),
        columns: columns::core::secret(),
        hooks: Hooks {
            defaults: defaults::core::secret,
            validate: validation::config::secret,
            validate_update: validation::config::secret_update,
            warnings: warnings::secret,
            ..Hooks::default()
        },
        ..row("", "v1", "Secret", "secrets")
    }
}

fn service_account() -> Kind {
    Kind {
        short_names: strings(&["sa"]),
        subresources: vec![other("token", "authentication.k8s.io", "v1", "TokenRequest", &["create"])],

        columns: columns::core::service_account(),
        hooks: Hooks { warnings: warnings::service_account, ..Hooks::default() },
        returns_deleted: true,
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

        columns: columns::network::service(),
        hooks: Hooks {
            defaults: defaults::network::service,
            prepare_create: prepare::service_create,
            prepare_update: prepare::service_update,
            validate: validation::services::service,
            validate_update: validation::services::service_update,
            validate_name: names::dns_label_name,
            warnings: warnings::service,
            ..Hooks::default()
        },
        empty_status: Some(json!({"loadBalancer": {}})),
        returns_deleted: true,
        ..row("", "v1", "Service", "services")
    }
}
