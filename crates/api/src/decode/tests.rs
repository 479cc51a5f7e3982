use serde_json::json;

use super::*;
use crate::schema::message;

fn core(kind: &str) -> &'static Message {
    message(&format!("io.k8s.api.core.v1.{kind}")).unwrap()
}

fn read(kind: &str, body: &str) -> Result<Decoded, Error> {
    json(body.as_bytes(), core(kind))
}

fn refusal(kind: &str, body: &str) -> String {
    read(kind, body).unwrap_err().to_string()
}

#[test]
fn malformed_json_is_refused_in_go_s_words() {
    for (body, text) in [
        ("{", "unexpected end of JSON input"),
        ("{oops", "invalid character 'o' looking for beginning of object key string"),
        ("{\"a\" 1}", "invalid character '1' after object key"),
        ("{\"a\": 1 2}", "invalid character '2' after object key:value pair"),
        ("{\"a\": [1 2]}", "invalid character '2' after array element"),
        ("nope", "invalid character 'o' in literal null (expecting 'u')"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("{\"a\": \"\\x\"}", "invalid character 'x' in string escape code"),
        ("{\"a\": \"\n\"}", "invalid character '\\n' in string literal"),
        ("{\"a\": 1.}", "invalid character '}' after decimal point in numeric literal"),
        ("{\"a\": \u{8e}}", "invalid character 'Â' looking for beginning of value"),
    ] {
        assert_eq!(refusal("ConfigMap", body), text, "{body}");
    }
    let deep = format!("{{\"data\":{}", "[".repeat(20_000));
    assert_eq!(refusal("ConfigMap", &deep), "invalid character '[' exceeded max depth");
}

#[test]
fn a_wrong_type_names_the_structure_the_path_and_the_type() {
    for (kind, body, text) in [
        (
            "ConfigMap",
            r#"{"data": ["a"]}"#,
            "json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string",
        ),
        (
            "ConfigMap",
            r#"{"data": {"a": 1}}"#,
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        (
            "ConfigMap",
            r#"{"metadata": {"name": 1}}"#,
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.name of type string",
        ),
        (
            "Pod",
            r#"{"spec": {"containers": {}}}"#,
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container",
        ),
        (
            "Pod",
            r#"{"spec": {"containers": [{"stdin": "x"}]}}"#,
            "json: cannot unmarshal string into Go struct field Container.spec.containers.stdin of type bool",
        ),
        (
            "Service",
            r#"{"spec": {"ports": [{"port": 1.5}]}}"#,
            "json: cannot unmarshal number 1.5 into Go struct field ServicePort.spec.ports.port of type int32",
        ),
        (
            "Service",
            r#"{"spec": {"ports": [{"port": 99999999999}]}}"#,
            "json: cannot unmarshal number 99999999999 into Go struct field ServicePort.spec.ports.port of type int32",
        ),
        (
            "Service",
            r#"{"spec": {"ports": [{"targetPort": true}]}}"#,
            "json: cannot unmarshal bool into Go value of type int32",
        ),
        ("Secret", r#"{"data": {"a": "not base64"}}"#, "illegal base64 data at input byte 3"),
        (
            "ServiceAccount",
            r#"{"imagePullSecrets": ["x"]}"#,
            "json: cannot unmarshal string into Go struct field ServiceAccount.imagePullSecrets of type v1.LocalObjectReference",
        ),
        ("ConfigMap", "[]", "json: cannot unmarshal array into Go value of type v1.ConfigMap"),
        (
            "ConfigMap",
            r#"{"metadata": {"creationTimestamp": "yesterday"}}"#,
            "parsing time \"yesterday\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"yesterday\" as \"2006\"",
        ),
    ] {
        assert_eq!(refusal(kind, body), text, "{body}");
    }
}

#[test]
fn unknown_and_duplicate_fields_are_told_in_the_order_of_the_document() {
    let body = r#"{"zebra": 1, "metadata": {"name": "a", "name": "b", "nmae": "c"}, "data": {"x": "1", "x": "2"}, "data": {"y": "3"}}"#;
    let decoded = read("ConfigMap", body).unwrap();
    assert_eq!(
        decoded.strict_error().unwrap(),
        "strict decoding error: unknown field \"zebra\", duplicate field \"metadata.name\", unknown field \"metadata.nmae\", \
         duplicate field \"data.x\", duplicate field \"data\""
    );
    assert_eq!(decoded.value, json!({"metadata": {"name": "b"}, "data": {"x": "2", "y": "3"}}));
    let decoded = read("Pod", r#"{"spec": {"containers": [{"name": "a"}, {"Name": "b", "colour": "red"}]}}"#).unwrap();
    assert_eq!(
        decoded.strict,
        ["unknown field \"spec.containers[1].Name\"", "unknown field \"spec.containers[1].colour\""]
    );
}

#[test]
fn objects_take_their_canonical_form() {
    let body = r#"{"metadata": {"labels": null, "creationTimestamp": null, "generation": 0}, "spec": {"hostNetwork": false,
        "automountServiceAccountToken": false, "nodeName": "", "terminationGracePeriodSeconds": 0, "containers": [
        {"name": "a", "resources": {"limits": {"cpu": "1000m", "memory": 1024}}, "env": [], "readinessProbe": {"httpGet": {"port": "web"}}}]}}"#;
    assert_eq!(
        read("Pod", body).unwrap().value,
        json!({"metadata": {}, "status": {}, "spec": {"automountServiceAccountToken": false, "terminationGracePeriodSeconds": 0,
            "containers": [{"name": "a", "resources": {"limits": {"cpu": "1", "memory": "1024"}},
                "readinessProbe": {"httpGet": {"port": "web"}}}]}})
    );
}

#[test]
fn times_are_written_in_utc() {
    let lease = message("io.k8s.api.coordination.v1.Lease").unwrap();
    let read = |time: &str| json(format!(r#"{{"spec": {{"renewTime": "{time}"}}}}"#).as_bytes(), lease);
    let renewed = |time| read(time).unwrap().value["spec"]["renewTime"].clone();
    assert_eq!(renewed("2026-01-02T05:04:05.123456+02:00"), "2026-01-02T03:04:05.123456Z");
    let refused = |time| read(time).unwrap_err().to_string();
    assert!(refused("2026-01-02T03:04:05Z").ends_with("cannot parse \"Z\" as \".000000\""));
    assert!(refused("2026-01-02T03:04:05.5Z").ends_with("cannot parse \".5Z\" as \".000000\""));
    assert_eq!(
        refused("2026-02-30T03:04:05.000000Z"),
        "parsing time \"2026-02-30T03:04:05.000000Z\": day out of range"
    );
}

#[test]
fn a_body_of_no_kind_is_unrecognized() {
    let target = Target { api_version: "v1", kind: "ConfigMap", message: core("ConfigMap") };
    let refused = |body: &str| object(body.as_bytes(), Media::Json, &target).unwrap_err();
    let start = "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; json parse error: ";
    assert_eq!(refused("{"), format!("{start}unexpected end of JSON input ({{)"));
    assert_eq!(refused(""), format!("{start}unexpected end of JSON input (<empty>)"));
    assert_eq!(
        refused(r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"a"}} x"#),
        format!(r#"{start}invalid character 'x' after top-level value ({{"apiVersion":"v1","kind":"Con ...)"#)
    );
    assert_eq!(
        refused(r#"{"kind": 5}"#),
        format!(r#"{start}json: cannot unmarshal number into Go struct field .kind of type string ({{"kind": 5}})"#)
    );
    let null = object(b"null", Media::Json, &target).unwrap().value;
    assert_eq!(null, json!({"apiVersion": "v1", "kind": "ConfigMap"}));
    assert_eq!(
        refused(r#"{"kind": "ConfigMap", "data": 5}"#),
        "ConfigMap in version \"v1\" cannot be handled as a ConfigMap: json: cannot unmarshal number into Go struct field ConfigMap.data of type map[string]string"
    );
}

#[test]
fn pruning_drops_what_a_schema_does_not_name() {
    let schema = crate::schema::structural(
        "Widget",
        &json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
            "o": {"type": "object", "properties": {"p": {"type": "string"}}},
            "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}}),
    );
    let mut object = json!({"extra": 1, "kind": "Widget", "spec": {"o": {"p": 5, "q": 1}, "open": {"any": 1}}});
    assert_eq!(prune(&mut object, &schema), ["extra", "spec.o.q"]);
    assert_eq!(object, json!({"kind": "Widget", "spec": {"o": {"p": 5}, "open": {"any": 1}}}));
}

#[test]
fn an_empty_list_that_is_always_written_is_none() {
    let decoded = value(&json!({"spec": {"limits": []}}), core("LimitRange")).unwrap();
    assert_eq!(decoded.value["spec"]["limits"], serde_json::Value::Null);
}
