//! Pod templates as upstream prints them to hash them: Go's structures with their types and every field. It reads none back.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::Value;

mod quantity;

const DECLARATIONS: &str = include_str!("spew/pod_template.txt");
static TYPES: LazyLock<HashMap<&str, Type>> = LazyLock::new(declared);
static NULL: Value = Value::Null;
/// Nobody sets the times of a template, and what Go would print of one depends on the controller's time zone.
const NO_TIME: &str = "{Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time.Location)<nil>}}";
const NIL: &str = "<nil>";

enum Type {
    Struct(Vec<Field>),
    Named(&'static str),
}

struct Field {
    name: &'static str,
    /// `-` where JSON has the fields of this one in the parent.
    json_name: &'static str,
    go_type: &'static str,
}

/// A template with all its defaults, as go-spew prints a `PodTemplateSpec` with `%#v`.
pub fn pod_template(template: &Value) -> String {
    let mut out = String::new();
    write_typed(&mut out, template, "v1.PodTemplateSpec");
    out
}

fn declared() -> HashMap<&'static str, Type> {
    let mut types = HashMap::new();
    let mut current = "";
    for line in DECLARATIONS.lines().filter(|line| !line.starts_with('#')) {
        if let Some((name, other)) = line.split_once(" = ") {
            types.insert(name, Type::Named(other));
        } else if let Some(field) = line.strip_prefix(' ') {
            let [name, json_name, go_type] = field.splitn(3, ' ').collect::<Vec<_>>()[..] else { continue };
            if let Some(Type::Struct(fields)) = types.get_mut(current) {
                fields.push(Field { name, json_name, go_type });
            }
        } else {
            current = line;
            types.insert(current, Type::Struct(Vec::new()));
        }
    }
    types
}

fn write_typed(out: &mut String, value: &Value, go_type: &'static str) {
    out.push('(');
    out.push_str(go_type);
    out.push(')');
    match go_type.strip_prefix('*') {
        Some(_) if value.is_null() => out.push_str(NIL),
        Some(pointee) => write(out, value, pointee),
        None => write(out, value, go_type),
    }
}

/// The value without its type, as it stands in lists and maps too.
fn write(out: &mut String, value: &Value, go_type: &'static str) {
    if let Some(item) = go_type.strip_prefix("[]") {
        return write_list(out, value, item);
    }
    if let Some((_, of_value)) = go_type.strip_prefix("map[").and_then(|rest| rest.split_once(']')) {
        return write_map(out, value, of_value);
    }
    match go_type {
        "string" => out.push_str(value.as_str().unwrap_or_default()),
        "int32" | "int64" => out.push_str(&value.as_i64().unwrap_or_default().to_string()),
        "bool" => out.push_str(if value.as_bool().unwrap_or_default() { "true" } else { "false" }),
        "v1.Time" => out.push_str(NO_TIME),
        "intstr.IntOrString" => write_int_or_string(out, value),
        "resource.Quantity" => quantity::write(out, value.as_str().unwrap_or("0")),
        name => match TYPES.get(name) {
            Some(Type::Struct(fields)) => write_struct(out, value, fields),
            Some(Type::Named(other)) => write(out, value, other),
            None => unreachable!("{name} is declared: a test reads all declarations"),
        },
    }
}

fn write_list(out: &mut String, value: &Value, item: &'static str) {
    let Some(items) = value.as_array().filter(|items| !items.is_empty()) else { return out.push_str(NIL) };
    for (idx, value) in items.iter().enumerate() {
        out.push(if idx == 0 { '[' } else { ' ' });
        write(out, value, item);
    }
    out.push(']');
}

fn write_map(out: &mut String, value: &Value, of_value: &'static str) {
    let Some(entries) = value.as_object().filter(|entries| !entries.is_empty()) else { return out.push_str(NIL) };
    for (idx, (key, value)) in entries.iter().enumerate() {
        out.push_str(if idx == 0 { "map[" } else { " " });
        out.push_str(key);
        out.push(':');
        write(out, value, of_value);
    }
    out.push(']');
}

fn write_struct(out: &mut String, value: &Value, fields: &[Field]) {
    for (idx, field) in fields.iter().enumerate() {
        out.push(if idx == 0 { '{' } else { ' ' });
        out.push_str(field.name);
        out.push(':');
        let inner = if field.json_name == "-" { value } else { value.get(field.json_name).unwrap_or(&NULL) };
        write_typed(out, inner, field.go_type);
    }
    out.push('}');
}

fn write_int_or_string(out: &mut String, value: &Value) {
    let (kind, number, text) = match value {
        Value::String(text) => (1, 0, text.as_str()),
        value => (0, value.as_i64().unwrap_or_default(), ""),
    };
    out.push_str(&format!("{{Type:(intstr.Type){kind} IntVal:(int32){number} StrVal:(string){text}}}"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// What the printed template says of the field `name`, up to the next one.
    fn printed(template: &Value, name: &str, next: &str) -> String {
        let text = pod_template(template);
        let from = text.find(&format!(" {name}:")).unwrap() + 1;
        text[from..].split(&format!(" {next}:")).next().unwrap().to_owned()
    }

    fn container(container: Value) -> Value {
        json!({"spec": {"containers": [container]}})
    }

    #[test]
    fn every_type_that_is_named_is_declared() {
        let scalars =
            ["string", "int32", "int64", "bool", "uint8", "v1.Time", "intstr.IntOrString", "resource.Quantity"];
        let is_known = |name: &str| scalars.contains(&name) || TYPES.contains_key(name);
        let bare = |go_type: &'static str| {
            let go_type = go_type.trim_start_matches(['*', '[', ']']);
            go_type.strip_prefix("map[").and_then(|rest| rest.split_once(']')).map_or(go_type, |(_, value)| value)
        };
        for declared in TYPES.values() {
            match declared {
                Type::Named(other) => assert!(is_known(bare(other)), "{other}"),
                Type::Struct(fields) => {
                    assert!(!fields.is_empty());
                    fields.iter().for_each(|field| assert!(is_known(bare(field.go_type)), "{}", field.go_type));
                }
            }
        }
    }

    #[test]
    fn what_is_not_set_is_printed_too() {
        let text = pod_template(&json!({"metadata": {"labels": {"b": "2", "a": "1"}, "annotations": {}}}));
        assert!(
            text.starts_with("(v1.PodTemplateSpec){ObjectMeta:(v1.ObjectMeta){Name:(string) GenerateName:(string) ")
        );
        assert!(text.contains("Labels:(map[string]string)map[a:1 b:2] Annotations:(map[string]string)<nil> "));
        assert!(text.contains("CreationTimestamp:(v1.Time){Time:(time.Time){wall:(uint64)0 ext:(int64)0 loc:(*time"));
        assert!(text.ends_with(" SchedulingGroup:(*v1.PodSchedulingGroup)<nil>}}"));
    }

    #[test]
    fn an_empty_structure_is_not_a_missing_one() {
        let template = json!({"spec": {"volumes": [{"name": "v", "emptyDir": {}}]}});
        let expected =
            "EmptyDir:(*v1.EmptyDirVolumeSource){Medium:(v1.StorageMedium) SizeLimit:(*resource.Quantity)<nil>}";
        assert_eq!(printed(&template, "EmptyDir", "GCEPersistentDisk"), expected);
        let volume = printed(&template, "VolumeSource", "EmptyDir");
        assert_eq!(volume, "VolumeSource:(v1.VolumeSource){HostPath:(*v1.HostPathVolumeSource)<nil>");
    }

    #[test]
    fn a_handler_that_json_has_in_its_parent_is_a_structure() {
        let probe = json!({"livenessProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 10}});
        let handler = printed(&container(probe), "TCPSocket", "GRPC");
        assert_eq!(
            handler,
            "TCPSocket:(*v1.TCPSocketAction){Port:(intstr.IntOrString){Type:(intstr.Type)1 IntVal:(int32)0 StrVal:(string)http} Host:(string)}"
        );
        let seconds = json!({"livenessProbe": {"httpGet": {"port": 80}, "periodSeconds": 10}});
        assert!(pod_template(&container(seconds)).contains("PeriodSeconds:(int32)10 SuccessThreshold:(int32)0"));
    }
}
