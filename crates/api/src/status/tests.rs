//! Bodies as a real server sends them.

use serde_json::json;

use super::*;

const PODS: Resource<'_> = Resource { group: "", name: "pods" };
const REPLICA_SETS: Resource<'_> = Resource { group: "apps", name: "replicasets" };

#[test]
fn a_missing_object_is_named_with_its_group() {
    assert_eq!(
        Status::not_found(REPLICA_SETS, "a").to_json(),
        json!({"apiVersion": "v1", "code": 404, "details": {"group": "apps", "kind": "replicasets", "name": "a"},
               "kind": "Status", "message": "replicasets.apps \"a\" not found", "metadata": {}, "reason": "NotFound", "status": "Failure"})
    );
}

#[test]
fn an_invalid_object_lists_every_field() {
    let kind = Resource { group: "apps", name: "Deployment" };
    let errors = [FieldError::required("spec.a", ""), FieldError::invalid("spec.b", &json!("x\""), "must be shorter")];
    let status = Status::invalid(kind, "d", &errors);
    assert_eq!(
        status.message,
        r#"Deployment.apps "d" is invalid: [spec.a: Required value, spec.b: Invalid value: "x\"": must be shorter]"#
    );
    assert_eq!(
        status.to_json()["details"]["causes"][1],
        json!({"reason": "FieldValueInvalid", "message": r#"Invalid value: "x\"": must be shorter"#, "field": "spec.b"})
    );
}

#[test]
fn a_refusal_says_who_may_not_do_what_and_where() {
    let user = User { name: "y".into(), ..User::default() };
    let asked = Attributes { verb: "get", resource: "pods", namespace: "z", name: "x", ..Attributes::default() };
    assert_eq!(
        Status::denied(&user, &asked, "").message,
        r#"pods "x" is forbidden: User "y" cannot get resource "pods" in API group "" in the namespace "z""#
    );
    let asked = Attributes { name: "", namespace: "", subresource: "log", ..asked };
    assert_eq!(
        Status::denied(&user, &asked, "").message,
        r#"pods is forbidden: User "y" cannot get resource "pods/log" in API group "" at the cluster scope"#
    );
    let asked = Attributes { verb: "get", path: "/metrics", ..Attributes::default() };
    assert_eq!(Status::denied(&user, &asked, "").message, r#"forbidden: User "y" cannot get path "/metrics""#);
}

#[test]
fn the_success_of_a_deletion_carries_the_uid_and_no_code() {
    assert_eq!(
        Status::deleted(PODS, "p", "u").to_json(),
        json!({"apiVersion": "v1", "details": {"kind": "pods", "name": "p", "uid": "u"}, "kind": "Status", "metadata": {}, "status": "Success"})
    );
    assert_eq!(
        Status::created().to_json(),
        json!({"apiVersion": "v1", "code": 201, "kind": "Status", "metadata": {}, "status": "Success"})
    );
}
