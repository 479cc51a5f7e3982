//! Services and pods, and the slices they come to.

use serde_json::{Value, json};

use super::*;

fn service(change: Value) -> Service {
    let mut service = json!({
        "metadata": {"name": "web", "namespace": "default", "uid": "svc", "labels": {"x": "y"}},
        "spec": {"clusterIP": "10.96.0.10", "selector": {"app": "web"},
            "ports": [{"name": "http", "port": 80, "targetPort": "web", "protocol": "TCP"}]},
    });
    for (key, value) in change.as_object().unwrap() {
        service["spec"][key] = value.clone();
    }
    serde_json::from_value(service).unwrap()
}

fn pod(name: &str, ip: &str, node: &str, is_ready: bool, port: i32) -> Arc<Pod> {
    Arc::new(
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "default", "uid": name},
            "spec": {"nodeName": node, "containers": [
                {"name": "c", "ports": [{"name": "web", "containerPort": port}]}]},
            "status": {"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}],
                "conditions": [{"type": "Ready", "status": if is_ready { "True" } else { "False" }}]},
        }))
        .unwrap(),
    )
}

fn node(name: &str) -> Option<Arc<Node>> {
    (name == "n1")
        .then(|| Arc::new(serde_json::from_value(json!({"metadata": {"name": "n1", "labels": {ZONE: "z1"}}})).unwrap()))
}

fn planned(service: &Service, pods: &[Arc<Pod>], slices: Vec<EndpointSlice>) -> Plan {
    plan(View { service, pods, node: &node, slices, shares: None, is_shared_out: false })
}

/// The slice as it is after its creation.
fn written(mut slice: EndpointSlice) -> EndpointSlice {
    slice.metadata.name = slice.metadata.generate_name.as_ref().map(|prefix| format!("{prefix}abcde"));
    slice
}

#[test]
fn a_slice_says_where_the_pods_are() {
    let service = service(json!({}));
    let pods = [pod("a", "10.244.0.5", "n1", true, 8080), pod("b", "10.244.0.6", "n1", false, 8080)];
    let plan = planned(&service, &pods, Vec::new());
    insta::assert_snapshot!(serde_json::to_string_pretty(&plan.create).unwrap(), @r#"
    [
      {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "addressType": "IPv4",
        "endpoints": [
          {
            "addresses": [
              "10.244.0.5"
            ],
            "conditions": {
              "ready": true,
              "serving": true,
              "terminating": false
            },
            "nodeName": "n1",
            "targetRef": {
              "kind": "Pod",
              "name": "a",
              "namespace": "default",
              "uid": "a"
            },
            "zone": "z1"
          },
          {
            "addresses": [
              "10.244.0.6"
            ],
            "conditions": {
              "ready": false,
              "serving": false,
              "terminating": false
            },
            "nodeName": "n1",
            "targetRef": {
              "kind": "Pod",
              "name": "b",
              "namespace": "default",
              "uid": "b"
            },
            "zone": "z1"
          }
        ],
        "metadata": {
          "generateName": "web-",
          "labels": {
            "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
            "kubernetes.io/service-name": "web",
            "x": "y"
          },
          "namespace": "default",
          "ownerReferences": [
            {
              "apiVersion": "v1",
              "blockOwnerDeletion": true,
              "controller": true,
              "kind": "Service",
              "name": "web",
              "uid": "svc"
            }
          ]
        },
        "ports": [
          {
            "name": "http",
            "port": 8080,
            "protocol": "TCP"
          }
        ]
      }
    ]
    "#);
    let again = planned(&service, &pods, plan.create.into_iter().map(written).collect());
    assert!(again.create.is_empty() && again.update.is_empty() && again.delete.is_empty(), "{again:?}");
}

#[test]
fn a_service_without_pods_has_one_empty_slice_that_is_filled_later() {
    let service = service(json!({}));
    let plan = planned(&service, &[], Vec::new());
    assert_eq!((plan.create.len(), &plan.create[0].endpoints, &plan.create[0].ports), (1, &None, &None));
    let slices: Vec<_> = plan.create.into_iter().map(written).collect();
    let again = planned(&service, &[], slices.clone());
    assert!(again.create.is_empty() && again.update.is_empty() && again.delete.is_empty());
    let filled = planned(&service, &[pod("a", "10.244.0.5", "n1", true, 80)], slices);
    assert_eq!((filled.create.len(), filled.update.len(), filled.delete.len()), (0, 1, 0));
}

#[test]
fn pods_that_mean_different_ports_are_apart() {
    let pods = [pod("a", "10.244.0.5", "n1", true, 80), pod("b", "10.244.0.6", "n1", true, 8080)];
    assert_eq!(planned(&service(json!({})), &pods, Vec::new()).create.len(), 2);
}

#[test]
fn a_pod_on_no_known_node_is_left_out_unless_all_are_published() {
    let pods = [pod("a", "10.244.0.5", "gone", false, 80)];
    assert_eq!(planned(&service(json!({})), &pods, Vec::new()).create[0].endpoints, None);
    let plan = planned(&service(json!({"publishNotReadyAddresses": true})), &pods, Vec::new());
    let conditions = plan.create[0].endpoints.as_ref().unwrap()[0].conditions.clone().unwrap();
    assert_eq!((conditions.ready, conditions.serving), (Some(true), Some(false)));
}

#[test]
fn a_pod_that_ends_still_serves_but_is_not_ready() {
    let mut ending = (*pod("a", "10.244.0.5", "n1", true, 80)).clone();
    let now = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(jiff::Timestamp::UNIX_EPOCH);
    ending.metadata.deletion_timestamp = Some(now);
    let plan = planned(&service(json!({})), &[Arc::new(ending)], Vec::new());
    let conditions = plan.create[0].endpoints.as_ref().unwrap()[0].conditions.clone().unwrap();
    assert_eq!((conditions.ready, conditions.serving, conditions.terminating), (Some(false), Some(true), Some(true)));
}

#[test]
fn a_headless_service_is_marked() {
    let plan = planned(&service(json!({"clusterIP": "None"})), &[], Vec::new());
    assert_eq!(plan.create[0].metadata.labels.as_ref().unwrap()[HEADLESS], "");
}

#[test]
fn who_is_near_is_hinted_at_as_the_service_asks() {
    let pods = [pod("a", "10.244.0.5", "n1", true, 80), pod("b", "10.244.0.6", "n1", false, 80)];
    let hinted = |distribution: Value| {
        let plan = planned(&service(json!({"trafficDistribution": distribution})), &pods, Vec::new());
        let endpoints = plan.create[0].endpoints.clone().unwrap();
        assert_eq!(endpoints[1].hints, None, "it is not ready");
        serde_json::to_value(&endpoints[0].hints).unwrap()
    };
    let (zone, node) = (json!([{"name": "z1"}]), json!([{"name": "n1"}]));
    assert_eq!(hinted(Value::Null), Value::Null);
    assert_eq!(hinted(json!("PreferClose")), json!({"forZones": zone}));
    assert_eq!(hinted(json!("PreferSameZone")), json!({"forZones": zone}));
    assert_eq!(hinted(json!("PreferSameNode")), json!({"forZones": zone, "forNodes": node}));
}

#[test]
fn endpoints_are_shared_out_among_zones_where_an_annotation_asks() {
    let mut service = service(json!({"trafficDistribution": "PreferSameNode"}));
    let mode = ("service.kubernetes.io/topology-mode".to_owned(), "Auto".to_owned());
    service.metadata.annotations = Some([mode].into());
    let shares = Shares::from([("z1".to_owned(), 0.5), ("z2".to_owned(), 0.5)]);
    let pods = [pod("a", "10.244.0.5", "n1", true, 80), pod("b", "10.244.0.6", "n1", true, 80)];
    let look = |service: &Service, pods: &[Arc<Pod>], is_shared_out: bool| {
        let view = View { service, pods, node: &node, slices: Vec::new(), shares: Some(&shares), is_shared_out };
        let plan = plan(view);
        let endpoints = plan.create[0].endpoints.clone().unwrap();
        let zone = |endpoint: &Endpoint| Some(endpoint.hints.clone()?.for_zones?[0].name.clone());
        let zones: Vec<_> = endpoints.iter().map(zone).collect();
        let told: Vec<_> = plan.told.iter().map(|told| (told.enabled, told.message.as_str())).collect();
        (plan.is_shared_out, zones, serde_json::to_value(told).unwrap())
    };
    let enabled = json!([[true, "Topology Aware Hints has been enabled, addressType: IPv4"]]);
    let both = vec![Some("z2".to_owned()), Some("z1".to_owned())];
    assert_eq!(look(&service, &pods, false), (true, both.clone(), enabled));
    assert_eq!(look(&service, &pods, true), (true, both, json!([])));
    let few = "Insufficient number of endpoints (1 endpoints, 2 zones), addressType: IPv4";
    assert_eq!(look(&service, &pods[..1], true), (false, vec![None], json!([[false, few]])));
    service.metadata.annotations = None;
    service.spec.as_mut().unwrap().traffic_distribution = None;
    let ended = json!([[false, "Topology Aware Hints has been disabled, addressType: IPv4"]]);
    assert_eq!(look(&service, &pods, true), (false, vec![None, None], ended));
}
