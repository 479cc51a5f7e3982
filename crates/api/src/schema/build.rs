//! Puts a message together: sorts its fields, flattens inlined messages, and precomputes what is always written.

use serde_json::{Value, json};

use super::{Field, Link, Message, Presence, Scalar, TypeRef, Wire, presence};

/// Collects the fields of a message.
#[derive(Debug, Default)]
pub struct Builder {
    message: Message,
    inlines: Vec<(u32, Link)>,
}

impl Builder {
    pub(super) fn new(name: &str) -> Builder {
        let short_name = name.rsplit('.').next().unwrap_or_default().to_owned();
        Builder { message: Message { name: name.to_owned(), short_name, ..Message::default() }, inlines: Vec::new() }
    }

    pub fn typed(mut self, typed: bool) -> Builder {
        self.message.typed = typed;
        self
    }

    pub fn atomic(mut self, atomic: bool) -> Builder {
        self.message.atomic = atomic;
        self
    }

    pub fn preserve_unknown(mut self, preserve: bool) -> Builder {
        self.message.preserve_unknown = preserve;
        self
    }

    pub fn additional(mut self, ty: TypeRef) -> Builder {
        self.message.additional = Some(ty);
        self
    }

    pub fn field(mut self, field: Field) -> Builder {
        self.message.fields.push(field);
        self
    }

    /// Adds a field in place of one of the same name.
    pub fn replace(mut self, field: Field) -> Builder {
        self.message.fields.retain(|other| other.name != field.name);
        self.field(field)
    }

    pub(super) fn inline(mut self, number: u32, link: Link) -> Builder {
        self.inlines.push((number, link));
        self
    }

    pub fn build(mut self) -> Message {
        let message = &mut self.message;
        let declared: Vec<_> = message.fields.iter().map(|field| field.name.clone()).collect();
        message.fields.sort_by(|a, b| a.name.cmp(&b.name));
        message.fields.dedup_by(|a, b| a.name == b.name);
        message.declared = declared.iter().filter_map(|name| message.field_idx(name)).collect();
        message.wire = message
            .fields
            .iter()
            .enumerate()
            .filter(|(_, field)| field.number != 0)
            .map(|(idx, field)| (field.number, Wire::Field(idx)))
            .chain(self.inlines.into_iter().map(|(number, link)| (number, Wire::Inline(link))))
            .collect();
        message.wire.sort_by_key(|(number, _)| *number);
        message.fills = message
            .fields
            .iter()
            .filter_map(|field| Some((field.name.to_string(), fill(&message.short_name, field)?)))
            .collect();
        message.blanks =
            message.fields.iter().filter(|field| is_blank(field)).map(|field| field.name.clone()).collect();
        self.message
    }
}

fn is_blank(field: &Field) -> bool {
    let nil = match &field.ty {
        TypeRef::List(_) | TypeRef::Map(_) | TypeRef::Message(_) => true,
        TypeRef::Scalar(_) | TypeRef::Either(..) | TypeRef::Any | TypeRef::Deduced => false,
    };
    nil && field.required && field.presence == Presence::Kept
}

/// The empty value of a field that is always written. Lists and maps stay absent: validation speaks of those.
fn fill(message: &str, field: &Field) -> Option<Value> {
    if field.presence != Presence::Always && !presence::is_null_list(message, &field.name) {
        return None;
    }
    match &field.ty {
        TypeRef::Scalar(Scalar::String) => Some(json!("")),
        TypeRef::Scalar(Scalar::Bool) => Some(json!(false)),
        TypeRef::Scalar(Scalar::Int32 | Scalar::Int64 | Scalar::Double) => Some(json!(0)),
        TypeRef::Scalar(Scalar::Time | Scalar::MicroTime) => Some(Value::Null),
        TypeRef::Message(_) => Some(json!({})),
        TypeRef::List(_) if presence::is_null_list(message, &field.name) => Some(Value::Null),
        TypeRef::Scalar(_)
        | TypeRef::List(_)
        | TypeRef::Map(_)
        | TypeRef::Either(..)
        | TypeRef::Any
        | TypeRef::Deduced => None,
    }
}
