//! Turns rows into messages: resolves names to types, flattens inlined messages, and attaches the rules of merging.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::{Value, json};

use super::{
    Either, Field, Key, Link, List, ListKind, Map, Message, Patch, Presence, Scalar, TypeRef, facts, presence,
    rows::{Fields, Merge, Merges, Row},
    table::Slot,
};

pub(super) struct Linker<'a> {
    pub(super) slots: &'a BTreeMap<&'static str, &'static Slot>,
    pub(super) rows: &'a Fields,
    pub(super) merges: &'a Merges,
}

impl Linker<'_> {
    pub(super) fn message(&self, name: &str) -> Message {
        let short_name = name.rsplit('.').next().unwrap_or(name);
        let rows = &self.rows[name];
        let typed = facts::is_typed(short_name, rows.iter().any(|row| row.name == "metadata"));
        let atomic = self.merges.get(&(name, "")).is_some_and(|merge| merge.map_type == "atomic");
        let mut builder = Message::builder(name).typed(typed).atomic(atomic);
        for row in rows.iter().filter(|row| row.inlined) {
            builder = builder.inline(row.number, Link::Builtin(self.slots[row.shape.as_str()]));
        }
        if typed {
            for name in ["kind", "apiVersion"] {
                builder = builder.field(Field {
                    name: name.into(),
                    number: 0,
                    ty: TypeRef::Scalar(Scalar::String),
                    required: false,
                    presence: Presence::Omitted,
                    patch: Patch::default(),
                });
            }
        }
        let mut flat = Vec::new();
        self.flatten(rows, false, &mut flat);
        for row in flat {
            builder = builder.field(self.field(name, short_name, row));
        }
        builder.build()
    }

    /// The fields as JSON has them; those of inlined messages have no number in this message.
    fn flatten(&self, rows: &[Row], nested: bool, out: &mut Vec<Row>) {
        for row in rows {
            if row.inlined {
                self.flatten(&self.rows[row.shape.as_str()], true, out);
            } else {
                out.push(Row { number: if nested { 0 } else { row.number }, ..row.clone() });
            }
        }
    }

    fn field(&self, name: &str, short_name: &str, row: Row) -> Field {
        let merge = self.merges.get(&(name, row.name.as_str()));
        let ty = self.ty(short_name, &row, merge);
        Field {
            presence: presence::presence(short_name, &row.name, &ty, row.required),
            number: row.number,
            required: row.required,
            patch: merge.map(patch).unwrap_or_default(),
            name: row.name.into(),
            ty,
        }
    }

    fn ty(&self, message: &str, row: &Row, merge: Option<&Merge>) -> TypeRef {
        let map_type = merge.map_or("", |merge| merge.map_type);
        if let Some(value) = row.shape.strip_prefix("map<string,").and_then(|rest| rest.strip_suffix('>')) {
            return TypeRef::Map(Arc::new(Map { value: self.named(value), atomic: map_type == "atomic" }));
        }
        let element = self.named(&row.shape);
        if row.repeated {
            return TypeRef::List(Arc::new(List { element, kind: self.list_kind(message, row, merge) }));
        }
        match element {
            TypeRef::Message(_) if !map_type.is_empty() => {
                let copy = Message { atomic: map_type == "atomic", ..self.message(&row.shape) };
                TypeRef::Message(Link::Owned(Arc::new(copy)))
            }
            element => element,
        }
    }

    fn list_kind(&self, message: &str, list: &Row, merge: Option<&Merge>) -> ListKind {
        match merge.map(|merge| (merge.list_type, merge.keys)) {
            Some(("set", _)) => ListKind::Set,
            Some(("map", keys)) => ListKind::Map(
                keys.split(',')
                    .map(|key| Key { name: key.into(), default: self.key_default(message, list, key) })
                    .collect(),
            ),
            _ => ListKind::Atomic,
        }
    }

    /// What a key is where an item lacks it: upstream's schema has the zero value for every field that is always there.
    fn key_default(&self, message: &str, list: &Row, key: &str) -> Option<Value> {
        if let Some(text) = facts::key_default(message, &list.name, key) {
            return Some(json!(text));
        }
        let mut items = Vec::new();
        self.flatten(self.rows.get(list.shape.as_str())?, false, &mut items);
        let key = items.iter().find(|row| row.name == key && row.required)?;
        match self.named(&key.shape) {
            TypeRef::Scalar(Scalar::Int32 | Scalar::Int64) => Some(json!(0)),
            TypeRef::Scalar(_) => Some(json!("")),
            _ => None,
        }
    }

    fn named(&self, shape: &str) -> TypeRef {
        let short_name = shape.rsplit('.').next().unwrap_or(shape);
        let scalar = match short_name {
            "string" => Scalar::String,
            "bool" => Scalar::Bool,
            "int32" => Scalar::Int32,
            "int64" => Scalar::Int64,
            "double" => Scalar::Double,
            "bytes" => Scalar::Bytes,
            "Quantity" => Scalar::Quantity,
            "IntOrString" => Scalar::IntOrString,
            "Time" => Scalar::Time,
            "MicroTime" => Scalar::MicroTime,
            "Duration" => Scalar::Duration,
            "RawExtension" => Scalar::RawExtension,
            "FieldsV1" => Scalar::FieldsV1,
            "JSON" | "any" => return TypeRef::Any,
            "ExtraValue" | "Verbs" => return strings(),
            "JSONSchemaPropsOrArray" => return self.either(Either::OrList, shape),
            "JSONSchemaPropsOrBool" => return self.either(Either::OrBool, shape),
            "JSONSchemaPropsOrStringArray" => return self.either(Either::OrStrings, shape),
            _ => return self.slots.get(shape).map_or(TypeRef::Any, |slot| TypeRef::Message(Link::Builtin(slot))),
        };
        TypeRef::Scalar(scalar)
    }

    fn either(&self, either: Either, shape: &str) -> TypeRef {
        let props = shape.replace(shape.rsplit('.').next().unwrap_or(shape), "JSONSchemaProps");
        TypeRef::Either(either, Link::Builtin(self.slots[props.as_str()]))
    }
}

fn strings() -> TypeRef {
    TypeRef::List(Arc::new(List { element: TypeRef::Scalar(Scalar::String), kind: ListKind::Atomic }))
}

fn patch(merge: &Merge) -> Patch {
    Patch {
        merge: merge.strategy.split(',').any(|word| word == "merge"),
        replace: merge.strategy.split(',').any(|word| word == "replace"),
        retain_keys: merge.strategy.split(',').any(|word| word == "retainKeys"),
        key: (!merge.merge_key.is_empty()).then(|| merge.merge_key.into()),
    }
}
