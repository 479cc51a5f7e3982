//! The variables that tell a container of services, as in the days before DNS.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Service, ServicePort};

/// The variables of the services that a pod of `namespace` is told of: the API's own always, others where `links` is set.
pub fn service_variables(services: &[Arc<Service>], namespace: &str, links: bool) -> Vec<(String, String)> {
    let told = |service: &&Arc<Service>| {
        let meta = &service.metadata;
        let of = meta.namespace.as_deref().unwrap_or_default();
        let is_api = of == "default" && meta.name.as_deref() == Some("kubernetes");
        is_api || (links && of == namespace)
    };
    let mut variables = Vec::new();
    for service in services.iter().filter(told) {
        describe(service, &mut variables);
    }
    variables
}

fn describe(service: &Service, variables: &mut Vec<(String, String)>) {
    let Some(spec) = &service.spec else { return };
    let Some(address) = spec.cluster_ip.as_deref().filter(|ip| !ip.is_empty() && *ip != "None") else { return };
    let ports = spec.ports.as_deref().unwrap_or_default();
    let Some(first) = ports.first() else { return };
    let prefix = shouted(service.metadata.name.as_deref().unwrap_or_default());
    let mut add = |name: String, value: String| variables.push((name, value));
    add(format!("{prefix}_SERVICE_HOST"), address.to_owned());
    add(format!("{prefix}_SERVICE_PORT"), first.port.to_string());
    for port in ports {
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            add(format!("{prefix}_SERVICE_PORT_{}", shouted(name)), port.port.to_string());
        }
    }
    add(format!("{prefix}_PORT"), url(address, first));
    for port in ports {
        let prefix = format!("{prefix}_PORT_{}_{}", port.port, protocol(port));
        add(prefix.clone(), url(address, port));
        add(format!("{prefix}_PROTO"), protocol(port).to_lowercase());
        add(format!("{prefix}_PORT"), port.port.to_string());
        add(format!("{prefix}_ADDR"), address.to_owned());
    }
}

fn url(address: &str, port: &ServicePort) -> String {
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    format!("{}://{host}:{}", protocol(port).to_lowercase(), port.port)
}

fn protocol(port: &ServicePort) -> &str {
    port.protocol.as_deref().unwrap_or("TCP")
}

fn shouted(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}
