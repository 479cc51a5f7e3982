//! What nodes and pods use, as the metrics server shows it.

use serde_json::{Value, json};

use super::{Columns, name, text};
use crate::quantity::Quantity;

pub(crate) fn nodes() -> Columns {
    Columns::of("NodeMetrics", |object, _| {
        let usage = &object["usage"];
        vec![name(object), usage["cpu"].clone(), usage["memory"].clone(), window(object)]
    })
}

pub(crate) fn pods() -> Columns {
    Columns::of("PodMetrics", |object, _| {
        vec![name(object), total(object, "cpu"), total(object, "memory"), window(object)]
    })
}

fn window(object: &Value) -> Value {
    json!(text(&object["window"]))
}

/// What all containers of a pod use together.
fn total(pod: &Value, resource: &str) -> Value {
    let containers = pod["containers"].as_array().into_iter().flatten();
    let used = containers.filter_map(|container| text(&container["usage"][resource]).parse::<Quantity>().ok());
    match used.reduce(|sum, used| sum + used) {
        Some(total) => json!(total.to_string()),
        None => json!("0"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_uses_what_its_containers_use() {
        let usage = |cpu: &str, memory: &str| json!({"usage": {"cpu": cpu, "memory": memory}});
        let pod = json!({"metadata": {"name": "p"}, "window": "10s",
            "containers": [usage("1500000n", "64Ki"), usage("500000n", "128Ki")]});
        let cells = (pods().cells)(&pod, jiff::Timestamp::UNIX_EPOCH);
        assert_eq!(cells, [json!("p"), json!("2m"), json!("192Ki"), json!("10s")]);
        assert_eq!(total(&json!({}), "cpu"), json!("0"));
    }
}
