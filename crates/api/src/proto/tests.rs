//! A test-only encoder from the same tables, and what hostile bytes may not do.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::schema::{Scalar, message};

fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn bytes(number: u32, content: &[u8], out: &mut Vec<u8>) {
    varint(u64::from(number) << 3 | 2, out);
    varint(content.len() as u64, out);
    out.extend_from_slice(content);
}

fn integer(number: u32, value: i64, out: &mut Vec<u8>) {
    varint(u64::from(number) << 3, out);
    varint(value as u64, out);
}

fn encode(object: &Value, message: &Message) -> Vec<u8> {
    let mut out = Vec::new();
    for number in 1..=300 {
        match message.wire(number) {
            Some(Wire::Field(idx)) => {
                let field = message.wire_field(*idx);
                if let Some(value) = object.get(&*field.name) {
                    encode_field(number, value, &field.ty, &mut out);
                }
            }
            Some(Wire::Inline(link)) => bytes(number, &encode(object, link), &mut out),
            None => {}
        }
    }
    out
}

fn encode_field(number: u32, value: &Value, ty: &TypeRef, out: &mut Vec<u8>) {
    match ty {
        TypeRef::List(list) => {
            value.as_array().unwrap().iter().for_each(|item| encode_field(number, item, &list.element, out))
        }
        TypeRef::Map(map) => {
            for (key, value) in value.as_object().unwrap() {
                let mut entry = Vec::new();
                bytes(1, key.as_bytes(), &mut entry);
                encode_field(2, value, &map.value, &mut entry);
                bytes(number, &entry, out);
            }
        }
        TypeRef::Message(link) => bytes(number, &encode(value, link), out),
        TypeRef::Scalar(scalar) => encode_scalar(number, value, *scalar, out),
        other => panic!("no test writes {other:?}"),
    }
}

fn encode_scalar(number: u32, value: &Value, scalar: Scalar, out: &mut Vec<u8>) {
    let mut inner = Vec::new();
    match (scalar, value) {
        (Scalar::String, Value::String(text)) => return bytes(number, text.as_bytes(), out),
        (Scalar::Bytes, Value::String(text)) => return bytes(number, &crate::decode::base64(text).unwrap(), out),
        (Scalar::Bool, Value::Bool(flag)) => return integer(number, i64::from(*flag), out),
        (Scalar::Int32 | Scalar::Int64, value) => return integer(number, value.as_i64().unwrap(), out),
        (Scalar::Quantity, Value::String(text)) => bytes(1, text.as_bytes(), &mut inner),
        (Scalar::IntOrString, Value::String(text)) => {
            integer(1, 1, &mut inner);
            bytes(3, text.as_bytes(), &mut inner);
        }
        (Scalar::IntOrString, value) => integer(2, value.as_i64().unwrap(), &mut inner),
        (Scalar::Time | Scalar::MicroTime, Value::String(text)) => {
            let time: jiff::Timestamp = text.parse().unwrap();
            integer(1, time.as_second(), &mut inner);
            integer(2, i64::from(time.subsec_nanosecond()), &mut inner);
        }
        (Scalar::RawExtension | Scalar::FieldsV1, value) => bytes(1, value.to_string().as_bytes(), &mut inner),
        (scalar, value) => panic!("no test writes {value} as {scalar:?}"),
    }
    bytes(number, &inner, out);
}

fn check(name: &str, object: Value) {
    let message = message(name).unwrap();
    let canonical = crate::decode::value(&object, message).unwrap().value;
    assert_eq!(decode(&encode(&object, message), message).unwrap(), canonical, "{name}");
}

#[test]
fn objects_come_out_as_their_json_would() {
    check("io.k8s.api.core.v1.Secret", json!({"metadata": {"name": "s"}, "data": {"a": "AQI="}, "type": "Opaque"}));
    check(
        "io.k8s.api.apps.v1.Deployment",
        json!({"metadata": {"name": "d", "labels": {"app": "d"}, "creationTimestamp": "2026-01-02T03:04:05Z"}, "spec": {
            "replicas": 0, "selector": {"matchLabels": {"app": "d"}},
            "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}},
            "template": {"metadata": {}, "spec": {
                "volumes": [{"name": "v", "emptyDir": {}}, {"name": "c", "configMap": {"name": "x", "defaultMode": 420}}],
                "containers": [{"name": "a", "image": "a:1", "resources": {"limits": {"cpu": "500m"}},
                    "livenessProbe": {"httpGet": {"port": "web", "path": "/"}, "periodSeconds": 5},
                    "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}]}}}}),
    );
    check(
        "io.k8s.api.coordination.v1.Lease",
        json!({"spec": {"renewTime": "2026-01-02T03:04:05.123456Z", "holderIdentity": "n"}}),
    );
    check("io.k8s.api.authorization.v1.SubjectAccessReview", json!({"spec": {"user": "u", "groups": ["g"]}}));
    check(
        "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions",
        json!({"propagationPolicy": "Background", "gracePeriodSeconds": 0, "preconditions": {"uid": "u"}}),
    );
    check("io.k8s.api.policy.v1.Eviction", json!({"metadata": {"name": "p"}, "deleteOptions": {"dryRun": ["All"]}}));
    check("io.k8s.api.autoscaling.v1.Scale", json!({"metadata": {"name": "d"}, "spec": {"replicas": 3}}));
}

#[test]
fn the_envelope_says_what_it_holds() {
    let (mut meta, mut body) = (Vec::new(), PREFIX.to_vec());
    bytes(1, b"v1", &mut meta);
    bytes(2, b"ConfigMap", &mut meta);
    bytes(1, &meta, &mut body);
    bytes(2, b"raw", &mut body);
    assert_eq!(envelope(&body).unwrap(), Envelope { api_version: "v1", kind: "ConfigMap", raw: b"raw" });
    assert_eq!(
        envelope(b"{}").unwrap_err().to_string(),
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    );
}

#[test]
fn a_small_body_cannot_name_ever_more_messages() {
    let containers = [0x12, 0x00].repeat(300_000);
    let mut pod_spec = Vec::new();
    bytes(2, &containers, &mut pod_spec);
    assert_eq!(decode(&pod_spec, message("io.k8s.api.core.v1.Pod").unwrap()), Err(Error::Nodes));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for name in ["io.k8s.api.core.v1.Pod", "io.k8s.api.core.v1.Secret", "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"] {
            let _ = decode(&body, message(name).unwrap());
        }
        let _ = envelope(&[PREFIX, &body].concat());
    }

    #[test]
    fn damaged_objects_never_panic(at in 0..200usize, byte in any::<u8>()) {
        let pod = message("io.k8s.api.core.v1.Pod").unwrap();
        let object = json!({"metadata": {"name": "p", "labels": {"a": "b"}}, "spec": {"containers": [{"name": "a", "ports": [{"containerPort": 80}]}]}});
        let mut body = encode(&object, pod);
        let at = at % body.len();
        body[at] = byte;
        let _ = decode(&body, pod);
    }

    #[test]
    fn maps_survive_the_wire(data in prop::collection::btree_map("[a-z]{1,5}", ".{0,20}", 0..5)) {
        check("io.k8s.api.core.v1.ConfigMap", json!({"metadata": {"name": "c"}, "data": data}));
    }
}
