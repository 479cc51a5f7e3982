//! Amounts of what pods ask for and nodes have. Plain numbers; it knows quantities, and no object beyond them.

use std::collections::BTreeMap;
use std::ops::{AddAssign, SubAssign};

use coracle_api::quantity::Quantity;
use k8s_openapi::api::core::v1::{Container, PodSpec};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

/// What a container without a request is counted as when nodes are compared, so that such pods spread too.
const UNSTATED_MILLI_CPU: i64 = 100;
const UNSTATED_MEMORY: i64 = 200 * 1024 * 1024;

/// CPU in thousandths of a core, everything else in whole units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Resources {
    pub(crate) milli_cpu: i64,
    pub(crate) memory: i64,
    pub(crate) ephemeral: i64,
    pub(crate) others: BTreeMap<String, i64>,
}

type Texts = BTreeMap<String, Text>;

impl Resources {
    /// Reads a resource list; what is no quantity counts as nothing.
    pub(crate) fn of(texts: Option<&Texts>) -> Self {
        let mut resources = Self::default();
        for (name, Text(text)) in texts.into_iter().flatten() {
            let Ok(quantity) = text.parse::<Quantity>() else { continue };
            match name.as_str() {
                "cpu" => resources.milli_cpu = quantity.milli_value(),
                "memory" => resources.memory = quantity.value(),
                "ephemeral-storage" => resources.ephemeral = quantity.value(),
                "pods" => {}
                _ => {
                    resources.others.insert(name.clone(), quantity.value());
                }
            }
        }
        resources
    }

    fn raise_to(&mut self, other: &Self) {
        self.milli_cpu = self.milli_cpu.max(other.milli_cpu);
        self.memory = self.memory.max(other.memory);
        self.ephemeral = self.ephemeral.max(other.ephemeral);
        for (name, amount) in &other.others {
            let known = self.others.entry(name.clone()).or_default();
            *known = (*known).max(*amount);
        }
    }
}

impl AddAssign<&Resources> for Resources {
    fn add_assign(&mut self, other: &Resources) {
        self.milli_cpu += other.milli_cpu;
        self.memory += other.memory;
        self.ephemeral += other.ephemeral;
        for (name, amount) in &other.others {
            *self.others.entry(name.clone()).or_default() += amount;
        }
    }
}

impl SubAssign<&Resources> for Resources {
    fn sub_assign(&mut self, other: &Resources) {
        self.milli_cpu -= other.milli_cpu;
        self.memory -= other.memory;
        self.ephemeral -= other.ephemeral;
        for (name, amount) in &other.others {
            *self.others.entry(name.clone()).or_default() -= amount;
        }
    }
}

/// What a pod asks for: its containers together, or its hungriest moment during initialisation if that is more.
pub(crate) fn requested(spec: &PodSpec) -> Resources {
    total(spec, |container| {
        Resources::of(container.resources.as_ref().and_then(|resources| resources.requests.as_ref()))
    })
}

/// As [`requested`], with an assumed share for containers that ask for nothing.
pub(crate) fn requested_non_zero(spec: &PodSpec) -> Resources {
    total(spec, |container| {
        let texts = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
        let mut resources = Resources::of(texts);
        let states = |name: &str| texts.is_some_and(|texts| texts.contains_key(name));
        if !states("cpu") {
            resources.milli_cpu = UNSTATED_MILLI_CPU;
        }
        if !states("memory") {
            resources.memory = UNSTATED_MEMORY;
        }
        resources
    })
}

fn total(spec: &PodSpec, of: impl Fn(&Container) -> Resources) -> Resources {
    let mut running = Resources::default();
    spec.containers.iter().for_each(|container| running += &of(container));
    // Sidecars run from their turn on; the others run alone beside the sidecars before them.
    let mut sidecars = Resources::default();
    let mut peak = Resources::default();
    for container in spec.init_containers.iter().flatten() {
        let mut moment = of(container);
        if container.restart_policy.as_deref() == Some("Always") {
            running += &moment;
            sidecars += &moment;
            peak.raise_to(&sidecars);
        } else {
            moment += &sidecars;
            peak.raise_to(&moment);
        }
    }
    running.raise_to(&peak);
    let overall = Resources::of(spec.resources.as_ref().and_then(|resources| resources.requests.as_ref()));
    if overall.milli_cpu > 0 {
        running.milli_cpu = overall.milli_cpu;
    }
    if overall.memory > 0 {
        running.memory = overall.memory;
    }
    running += &Resources::of(spec.overhead.as_ref());
    running
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(value: serde_json::Value) -> PodSpec {
        serde_json::from_value(value).unwrap()
    }

    fn asks(cpu: &str, memory: &str) -> serde_json::Value {
        json!({"name": "c", "resources": {"requests": {"cpu": cpu, "memory": memory}}})
    }

    #[test]
    fn containers_add_up_and_init_containers_take_turns() {
        let mut init = asks("1", "16Mi");
        let spec =
            spec(json!({"containers": [asks("250m", "64Mi"), asks("0.5", "1Gi")], "initContainers": [init.clone()]}));
        assert_eq!((requested(&spec).milli_cpu, requested(&spec).memory), (1000, (64 + 1024) << 20));
        init["restartPolicy"] = json!("Always");
        let spec = self::spec(json!({"containers": [asks("250m", "64Mi")], "initContainers": [init, asks("2", "1")]}));
        assert_eq!(requested(&spec).milli_cpu, 3000, "an init container runs beside the sidecar before it");
    }

    #[test]
    fn overhead_is_added_and_silence_counts_only_when_nodes_are_compared() {
        let spec = spec(json!({"containers": [{"name": "c"}], "overhead": {"cpu": "10m"}}));
        assert_eq!(requested(&spec).milli_cpu, 10);
        assert_eq!(requested_non_zero(&spec).milli_cpu, 110);
        assert_eq!(requested_non_zero(&spec).memory, UNSTATED_MEMORY);
    }
}
