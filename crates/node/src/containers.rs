//! The containers of a pod's spec, of all kinds, each as a container. Pure.

use k8s_openapi::api::core::v1 as core;

/// Every container of `spec`: init containers, then the main ones, then those added for debugging.
pub(crate) fn all(spec: &core::PodSpec) -> Vec<core::Container> {
    let own = spec.init_containers.iter().flatten().chain(&spec.containers).cloned();
    own.chain(spec.ephemeral_containers.iter().flatten().map(of_ephemeral)).collect()
}

pub(crate) fn named(spec: &core::PodSpec, name: &str) -> Option<core::Container> {
    all(spec).into_iter().find(|container| container.name == name)
}

/// A container added for debugging has a container's fields, but for the one that names whom it looks at.
pub(crate) fn of_ephemeral(ephemeral: &core::EphemeralContainer) -> core::Container {
    let value = serde_json::to_value(ephemeral).expect("a container is JSON");
    serde_json::from_value(value).expect("its fields are a container's")
}

/// How many bytes and cores a container may have.
pub(crate) fn limits(container: &core::Container) -> (Option<u64>, Option<f64>) {
    use coracle_api::quantity::Quantity;

    let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    let limit = |name: &str| limits.and_then(|all| all.get(name)).and_then(|limit| limit.0.parse::<Quantity>().ok());
    let memory = limit("memory").and_then(|limit| u64::try_from(limit.value()).ok());
    (memory, limit("cpu").map(|limit| limit.as_f64()).filter(|cores| *cores > 0.0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_container_for_debugging_is_a_container() {
        let spec: core::PodSpec = serde_json::from_value(json!({
            "containers": [{"name": "a"}],
            "ephemeralContainers": [{"name": "d", "image": "i", "stdin": true, "tty": true, "targetContainerName": "a"}],
        }))
        .unwrap();
        let debugger = named(&spec, "d").unwrap();
        assert_eq!((debugger.image.as_deref(), debugger.tty), (Some("i"), Some(true)));
    }

    #[test]
    fn limits_are_bytes_and_cores() {
        let resources = json!({"limits": {"cpu": "500m", "memory": "64Mi"}});
        let container = serde_json::from_value(json!({"name": "a", "resources": resources})).unwrap();
        assert_eq!(limits(&container), (Some(64 << 20), Some(0.5)));
        assert_eq!(limits(&core::Container::default()), (None, None));
    }
}
