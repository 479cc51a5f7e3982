use serde_json::json;

use super::*;

fn core(name: &str) -> &'static Message {
    message(&format!("io.k8s.api.core.v1.{name}")).unwrap()
}

#[test]
fn fields_carry_number_shape_and_rules_of_merging() {
    let containers = core("PodSpec").field("containers").unwrap();
    assert_eq!(containers.number, 2);
    assert!(containers.patch.merge && containers.patch.key.as_deref() == Some("name"));
    let TypeRef::List(list) = &containers.ty else { panic!("a list") };
    assert!(matches!(&list.kind, ListKind::Map(keys) if &*keys[0].name == "name"));
    assert_eq!(list.element.go_type(), "v1.Container");
}

#[test]
fn inlined_messages_lend_their_fields_to_the_parent() {
    assert!(core("Volume").field("emptyDir").is_some());
    assert!(core("Volume").field("volumeSource").is_none());
    assert!(core("Probe").field("httpGet").is_some());
    assert!(core("EphemeralContainer").field("image").is_some());
    assert!(core("PersistentVolumeSpec").field("hostPath").is_some());
    assert!(core("ConfigMapKeySelector").field("name").is_some());
    assert!(matches!(core("Volume").wire(2), Some(Wire::Inline(link)) if link.short_name == "VolumeSource"));
}

#[test]
fn only_bodies_carry_a_type() {
    assert!(core("Pod").field("kind").is_some());
    assert!(core("PodTemplateSpec").field("kind").is_none());
    assert!(message("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions").unwrap().typed);
}

#[test]
fn every_named_type_is_known() {
    for (name, message) in messages() {
        for field in message.fields() {
            if let TypeRef::Message(link) = &field.ty {
                assert!(!link.name.is_empty(), "{name}.{}", field.name);
            }
        }
    }
}

#[test]
fn ports_default_to_tcp_when_they_are_told_apart() {
    let TypeRef::List(ports) = &core("Container").field("ports").unwrap().ty else { panic!("a list") };
    let ListKind::Map(keys) = &ports.kind else { panic!("an associative list") };
    let protocol = keys.iter().find(|key| &*key.name == "protocol").unwrap();
    assert_eq!(protocol.default, Some(json!("TCP")));
}

#[test]
fn a_structural_schema_becomes_a_message() {
    let schema = json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "parts": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "zone"],
            "items": {"type": "object", "properties": {"name": {"type": "string"}, "zone": {"type": "string", "default": "z"}}}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}, "x-kubernetes-map-type": "atomic"},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true},
        "port": {"x-kubernetes-int-or-string": true},
    }}}});
    let widget = structural("Widget", &schema);
    assert!(widget.typed && widget.field("metadata").is_some());
    let TypeRef::Message(spec) = &widget.field("spec").unwrap().ty else { panic!("a message") };
    let TypeRef::List(parts) = &spec.field("parts").unwrap().ty else { panic!("a list") };
    assert!(matches!(&parts.kind, ListKind::Map(keys) if keys[1].default == Some(json!("z"))));
    assert!(spec.field("labels").unwrap().ty.is_atomic());
    assert!(matches!(spec.field("open").unwrap().ty, TypeRef::Deduced));
    assert!(matches!(spec.field("port").unwrap().ty, TypeRef::Scalar(Scalar::IntOrString)));
}
