//! The operations of a document, with the parameters that clients look for.

use serde_json::{Map, Value, json};

use super::{Resource, Subresource, definitions::type_name, group_path};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    V2,
    V3,
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// The types of patches, in the order that upstream names them.
const PATCH_TYPES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

const LIST_PARAMETERS: &[(&str, &str)] = &[
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];
const WRITE_PARAMETERS: &[(&str, &str)] =
    &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];
const DELETE_PARAMETERS: &[(&str, &str)] = &[
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];

/// What one path is about.
struct Target<'a> {
    dialect: Dialect,
    gvk: Value,
    /// The type of bodies and answers.
    body: String,
    /// The kind, which operations are named after.
    name: &'a str,
    tag: String,
}

pub(super) fn resource(resource: &Resource<'_>, dialect: Dialect, paths: &mut Map<String, Value>) {
    let root = format!("/{}", group_path(resource.group, resource.version));
    let place = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    let collection = format!("{root}{place}/{}", resource.plural);
    let target = Target {
        dialect,
        gvk: json!({"group": resource.group, "version": resource.version, "kind": resource.kind}),
        body: type_name(resource),
        name: resource.kind,
        tag: group_path(resource.group, resource.version).replace("apis/", "").replace('/', "_"),
    };
    let on_collection: Vec<&str> =
        ["list", "create", "deletecollection"].into_iter().filter(|verb| resource.verbs.contains(verb)).collect();
    let on_item: Vec<&str> =
        ["get", "update", "patch", "delete"].into_iter().filter(|verb| resource.verbs.contains(verb)).collect();
    insert(paths, &collection, &target, &on_collection);
    insert(paths, &format!("{collection}/{{name}}"), &target, &on_item);
    if resource.namespaced && resource.verbs.contains(&"list") {
        insert(paths, &format!("{root}/{}", resource.plural), &target, &["list"]);
    }
    for subresource in &resource.subresources {
        self::subresource(subresource, &target, &format!("{collection}/{{name}}/{}", subresource.name), paths);
    }
}

fn subresource(subresource: &Subresource<'_>, parent: &Target<'_>, path: &str, paths: &mut Map<String, Value>) {
    let target = Target {
        dialect: parent.dialect,
        gvk: json!({"group": subresource.group, "version": subresource.version, "kind": subresource.kind}),
        body: subresource.schema.map_or_else(|| parent.body.clone(), |schema| schema.name.clone()),
        name: subresource.kind,
        tag: parent.tag.clone(),
    };
    insert(paths, path, &target, subresource.verbs);
}

fn insert(paths: &mut Map<String, Value>, path: &str, target: &Target<'_>, verbs: &[&str]) {
    if verbs.is_empty() {
        return;
    }
    let mut item: Map<String, Value> =
        verbs.iter().map(|verb| (method(verb).to_owned(), operation(target, verb, path))).collect();
    let mut parameters: Vec<Value> = ["name", "namespace"]
        .into_iter()
        .filter(|name| path.contains(&format!("{{{name}}}")))
        .map(|name| parameter(target.dialect, name, "string", "path"))
        .collect();
    parameters.push(parameter(target.dialect, "pretty", "string", "query"));
    item.insert("parameters".to_owned(), Value::Array(parameters));
    paths.insert(path.to_owned(), Value::Object(item));
}

fn method(verb: &str) -> &'static str {
    match verb {
        "create" => "post",
        "update" => "put",
        "patch" => "patch",
        "delete" | "deletecollection" => "delete",
        _ => "get",
    }
}

fn operation(target: &Target<'_>, verb: &str, path: &str) -> Value {
    let (parameters, body, answer): (&[(&str, &str)], Option<String>, String) = match verb {
        "list" => (LIST_PARAMETERS, None, format!("{}List", target.body)),
        "create" | "update" => (WRITE_PARAMETERS, Some(target.body.clone()), target.body.clone()),
        "patch" => (WRITE_PARAMETERS, Some(format!("{META}Patch")), target.body.clone()),
        "delete" | "deletecollection" => {
            (DELETE_PARAMETERS, Some(format!("{META}DeleteOptions")), format!("{META}Status"))
        }
        _ => (&[], None, target.body.clone()),
    };
    let mut parameters: Vec<Value> =
        parameters.iter().map(|(name, ty)| parameter(target.dialect, name, ty, "query")).collect();
    if verb == "patch" {
        parameters.push(parameter(target.dialect, "force", "boolean", "query"));
    }
    if verb == "deletecollection" {
        let extra = LIST_PARAMETERS.iter().filter(|(name, _)| *name != "watch" && *name != "allowWatchBookmarks");
        parameters.extend(extra.map(|(name, ty)| parameter(target.dialect, name, ty, "query")));
    }
    let mut operation = json!({
        "operationId": format!("{verb}{}{}", target.name, operation_place(path)),
        "tags": [target.tag],
        "x-kubernetes-action": action(verb),
        "x-kubernetes-group-version-kind": target.gvk,
        "responses": responses(target.dialect, &answer),
    });
    match (body, target.dialect) {
        (Some(body), Dialect::V3) => operation["requestBody"] = request_body(verb, &body),
        (Some(body), Dialect::V2) => {
            parameters.push(json!({"in": "body", "name": "body", "schema": {"$ref": format!("#/definitions/{body}")}}));
            operation["consumes"] = if verb == "patch" { json!(PATCH_TYPES) } else { json!(["*/*"]) };
        }
        (None, _) => {}
    }
    operation["parameters"] = Value::Array(parameters);
    operation
}

/// What makes an operation's name unique among those of a kind.
fn operation_place(path: &str) -> String {
    path.split('/')
        .filter(|part| !part.is_empty() && !part.starts_with('{'))
        .map(|part| part.split(['.', '-']).map(capital).collect::<String>())
        .collect()
}

fn capital(word: &str) -> String {
    let mut chars = word.chars();
    chars.next().map_or_else(String::new, |first| first.to_ascii_uppercase().to_string() + chars.as_str())
}

fn action(verb: &str) -> &str {
    match verb {
        "create" => "post",
        "update" => "put",
        other => other,
    }
}

fn parameter(dialect: Dialect, name: &str, ty: &str, place: &str) -> Value {
    let mut parameter = json!({"name": name, "in": place, "uniqueItems": true});
    if place == "path" {
        parameter["required"] = true.into();
    }
    match dialect {
        Dialect::V2 => parameter["type"] = ty.into(),
        Dialect::V3 => {
            let schema = parameter.as_object_mut().and_then(|object| object.remove("uniqueItems"));
            parameter["schema"] = json!({"type": ty, "uniqueItems": schema});
        }
    }
    parameter
}

fn request_body(verb: &str, body: &str) -> Value {
    let schema = json!({"schema": {"$ref": format!("#/components/schemas/{body}")}});
    let types: &[&str] = if verb == "patch" { PATCH_TYPES } else { &["*/*"] };
    let content: Map<String, Value> = types.iter().map(|ty| ((*ty).to_owned(), schema.clone())).collect();
    json!({"required": !verb.starts_with("delete"), "content": content})
}

fn responses(dialect: Dialect, answer: &str) -> Value {
    match dialect {
        Dialect::V2 => json!({
            "200": {"description": "OK", "schema": {"$ref": format!("#/definitions/{answer}")}},
            "401": {"description": "Unauthorized"},
        }),
        Dialect::V3 => json!({
            "200": {
                "description": "OK",
                "content": {"application/json": {"schema": {"$ref": format!("#/components/schemas/{answer}")}}},
            },
            "401": {"description": "Unauthorized"},
        }),
    }
}
