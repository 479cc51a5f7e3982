//! Strategic merge patch, with all of its directives and upstream's words for patches that cannot be applied.

mod directives;
mod list;
mod order;
mod print;

use serde_json::{Map, Value};

pub(crate) use print::value as print;

use crate::schema::{Field, Message, Patch, TypeRef};

const DIRECTIVE: &str = "$patch";
const DELETE_PREFIX: &str = "$deleteFromPrimitiveList";
const ORDER_PREFIX: &str = "$setElementOrder";
const RETAIN_KEYS: &str = "$retainKeys";

type Object = Map<String, Value>;

/// Why a patch cannot be applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatchError {
    #[error("invalid patch format of primitive list")]
    PrimitiveList,
    #[error("invalid patch format of retainKeys")]
    RetainKeys,
    #[error("invalid patch format of setElementOrder list")]
    ElementOrder,
    #[error("lists of lists are not supported")]
    ListOfLists,
    #[error("merging lists cannot yet be specified in the patch")]
    MergeDirective,
    #[error("map: {map} does not contain declared merge key: {key}")]
    NoMergeKey { map: String, key: String },
    #[error("unknown patch type: {ty} in map: {map}")]
    UnknownDirective { ty: String, map: String },
    #[error("expected a {expected}, but received a {actual}")]
    Type { expected: &'static str, actual: &'static str },
    #[error("cannot merge lists without merge key for {0}")]
    NoDeclaredKey(String),
    #[error("value for key {0} is not a map")]
    NotAMap(usize),
    #[error("unable to find api field in struct {ty} for the json field {field:?}")]
    UnknownField { ty: String, field: String },
    #[error("{0}")]
    Order(String),
}

/// Applies a patch to an object.
pub fn merge(original: &Value, patch: &Value, message: &Message) -> Result<Value, PatchError> {
    let as_object = |value: &Value| match value {
        Value::Object(object) => Ok(object.clone()),
        other => Err(PatchError::Type { expected: "map[string]interface {}", actual: print::go_type(other) }),
    };
    merge_map(as_object(original)?, as_object(patch)?, Schema::Message(message)).map(Value::Object)
}

/// What is known of the map at hand.
#[derive(Clone, Copy)]
enum Schema<'s> {
    Message(&'s Message),
    /// A map from strings, whose values all have one type.
    Values(&'s TypeRef),
    /// Nothing: a value that the schema leaves open.
    Open,
}

impl<'s> Schema<'s> {
    fn of(ty: &'s TypeRef) -> Schema<'s> {
        match ty {
            TypeRef::Message(link) | TypeRef::Either(_, link) => Schema::Message(link),
            TypeRef::Map(map) => Schema::Values(&map.value),
            TypeRef::List(list) => Schema::of(&list.element),
            TypeRef::Scalar(_) | TypeRef::Any | TypeRef::Deduced => Schema::Open,
        }
    }

    /// The schema and the rules of a member that is a map or a list on both sides.
    fn member(self, name: &str) -> Result<(Schema<'s>, Patch), PatchError> {
        match self {
            Schema::Message(message) => match message.field(name) {
                Some(Field { ty, patch, .. }) => Ok((Schema::of(ty), patch.clone())),
                None => Err(PatchError::UnknownField { ty: message.go_type(), field: name.to_owned() }),
            },
            Schema::Values(ty) => Ok((Schema::of(ty), Patch::default())),
            Schema::Open => Ok((Schema::Open, Patch::default())),
        }
    }

    fn name(self) -> String {
        match self {
            Schema::Message(message) => message.short_name.clone(),
            Schema::Values(_) | Schema::Open => String::new(),
        }
    }
}

fn merge_map(mut original: Object, mut patch: Object, schema: Schema<'_>) -> Result<Object, PatchError> {
    if let Some(directive) = patch.get(DIRECTIVE) {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(DIRECTIVE);
                Ok(patch)
            }
            Some("delete") => Ok(Object::new()),
            _ => Err(PatchError::UnknownDirective { ty: print::directive(directive), map: print::map(&patch) }),
        };
    }
    directives::retain_keys(&mut original, &mut patch)?;
    order::apply(&mut original, &mut patch, schema)?;
    for (name, value) in patch {
        match name.strip_prefix(DELETE_PREFIX) {
            Some(rest) => {
                let list = rest.strip_prefix('/').ok_or(PatchError::PrimitiveList)?;
                delete_items(&mut original, list, value, schema)?;
            }
            None => merge_member(&mut original, name, value, schema)?,
        }
    }
    Ok(original)
}

fn delete_items(original: &mut Object, list: &str, value: Value, schema: Schema<'_>) -> Result<(), PatchError> {
    match (original.remove(list), value) {
        (_, Value::Null) | (None, _) => {}
        (Some(Value::Array(items)), Value::Array(doomed)) => {
            let (schema, rules) = schema.member(list)?;
            let merged = list::merge(items, doomed, schema, &rules, true)?;
            original.insert(list.to_owned(), Value::Array(merged));
        }
        (Some(other), _) => {
            original.insert(list.to_owned(), other);
        }
    }
    Ok(())
}

fn merge_member(original: &mut Object, name: String, value: Value, schema: Schema<'_>) -> Result<(), PatchError> {
    let merged = match (original.remove(&name), value) {
        (_, Value::Null) => None,
        (Some(Value::Object(old)), Value::Object(new)) => {
            let (schema, rules) = schema.member(&name)?;
            Some(Value::Object(if rules.replace { new } else { merge_map(old, new, schema)? }))
        }
        (Some(Value::Array(old)), Value::Array(new)) => {
            let (schema, rules) = schema.member(&name)?;
            Some(Value::Array(list::merge_field(old, new, schema, &rules)?))
        }
        (_, mut value) => {
            directives::discard_nulls(&mut value);
            directives::remove(value)
        }
    };
    if let Some(merged) = merged {
        original.insert(name, merged);
    }
    Ok(())
}

#[cfg(test)]
mod tests;
