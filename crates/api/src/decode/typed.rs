//! Walks a document along a schema, decodes it as Go would, and collects every complaint on the way.

mod scalar;

use serde_json::{Map, Value};

use super::{
    Decoded, Error, STRICT_MAX, literal,
    parser::{Next, Parser},
};
use crate::schema::{Either, Link, Message, Presence, Scalar, TypeRef};

pub(super) fn decode(bytes: &[u8], message: &Message) -> Result<Decoded, Error> {
    let mut walk = Walk::new(bytes);
    let value = walk.message(message, &Place::root())?;
    walk.finish(value.unwrap_or_else(|| zero_message(message)))
}

pub(super) fn decode_any(bytes: &[u8]) -> Result<Decoded, Error> {
    let mut walk = Walk::new(bytes);
    let value = walk.any(&Place::root(), true)?;
    walk.finish(value)
}

/// Where in the document the walk is, told from the leaf to the root.
struct Place<'p> {
    parent: Option<&'p Place<'p>>,
    step: Step<'p>,
    /// The innermost structure's type, which Go's errors name.
    owner: &'p str,
}

#[derive(Clone, Copy)]
enum Step<'p> {
    Root,
    Field(&'p str),
    Key(&'p str),
    Index(usize),
}

impl<'p> Place<'p> {
    fn root() -> Place<'static> {
        Place { parent: None, step: Step::Root, owner: "" }
    }

    fn field(&'p self, owner: &'p str, name: &'p str) -> Place<'p> {
        Place { parent: Some(self), step: Step::Field(name), owner }
    }

    fn key(&'p self, key: &'p str) -> Place<'p> {
        Place { parent: Some(self), step: Step::Key(key), owner: self.owner }
    }

    fn index(&'p self, idx: usize) -> Place<'p> {
        Place { parent: Some(self), step: Step::Index(idx), owner: self.owner }
    }

    /// The path as strict errors show it: `spec.containers[0].image`.
    fn path(&self) -> String {
        let mut out = self.parent.map(Place::path).unwrap_or_default();
        match self.step {
            Step::Root => {}
            Step::Index(idx) => out.push_str(&format!("[{idx}]")),
            Step::Field(name) | Step::Key(name) => {
                if !out.is_empty() {
                    out.push('.');
                }
                out.push_str(name);
            }
        }
        out
    }

    /// The path as type errors show it: structure fields only.
    fn fields(&self) -> String {
        let mut out = self.parent.map(Place::fields).unwrap_or_default();
        if let Step::Field(name) = self.step {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(name);
        }
        out
    }
}

struct Walk<'a> {
    parser: Parser<'a>,
    strict: Vec<String>,
    /// The first value of a wrong type; the walk goes on, as Go's does.
    mistyped: Option<String>,
    /// The first value that its own type refused; Go stops there, so this outranks `mistyped`.
    refused: Option<String>,
}

impl<'a> Walk<'a> {
    fn new(bytes: &'a [u8]) -> Walk<'a> {
        Walk { parser: Parser::new(bytes), strict: Vec::new(), mistyped: None, refused: None }
    }

    fn finish(mut self, value: Value) -> Result<Decoded, Error> {
        self.parser.end()?;
        match self.refused.or(self.mistyped) {
            Some(text) => Err(Error::Type(text)),
            None => Ok(Decoded { value, strict: self.strict }),
        }
    }

    fn complain(&mut self, what: &str, place: &Place<'_>) {
        if self.strict.len() < STRICT_MAX {
            let text = format!("{what} field {:?}", place.path());
            if !self.strict.contains(&text) {
                self.strict.push(text);
            }
        }
    }

    /// Notes a value of a wrong type.
    fn mistype(&mut self, got: &str, go_type: &str, place: &Place<'_>) {
        if self.mistyped.is_none() {
            let fields = place.fields();
            self.mistyped = Some(if place.owner.is_empty() && fields.is_empty() {
                format!("json: cannot unmarshal {got} into Go value of type {go_type}")
            } else {
                format!("json: cannot unmarshal {got} into Go struct field {}.{fields} of type {go_type}", place.owner)
            });
        }
    }

    fn refuse(&mut self, text: String) {
        self.refused.get_or_insert(text);
    }

    fn value(&mut self, ty: &TypeRef, place: &Place<'_>) -> Result<Option<Value>, Error> {
        match ty {
            TypeRef::Message(link) => self.message(link, place),
            TypeRef::List(list) => self.list(&list.element, ty, place),
            TypeRef::Map(map) => self.map(&map.value, ty, place),
            TypeRef::Scalar(scalar) => self.scalar(*scalar, place),
            TypeRef::Either(either, link) => self.either(*either, link, place),
            TypeRef::Any | TypeRef::Deduced => Ok(Some(self.any(place, false)?).filter(|value| !value.is_null())),
        }
    }

    fn message(&mut self, message: &Message, place: &Place<'_>) -> Result<Option<Value>, Error> {
        match self.parser.next()? {
            Next::Object => {}
            Next::Null => return self.null(),
            other => return self.wrong(other, &message.go_type(), place),
        }
        let mut object = Map::new();
        let mut seen = 0u128;
        let mut more = self.parser.open_object()?;
        while more {
            let key = self.parser.key()?;
            match message.field_idx(&key) {
                Some(idx) => {
                    let field = &message.fields()[idx];
                    let place = place.field(&message.short_name, &field.name);
                    let again = seen & (1 << (idx % 128)) != 0;
                    seen |= 1 << (idx % 128);
                    if again {
                        self.complain("duplicate", &place);
                    }
                    let value = self.value(&field.ty, &place)?;
                    store(&mut object, &key, value, field.presence, again);
                }
                None => self.unknown(message, &mut object, &key, place)?,
            }
            more = self.parser.next_member()?;
        }
        fill(&mut object, message);
        Ok(Some(Value::Object(object)))
    }

    fn unknown(
        &mut self,
        message: &Message,
        object: &mut Map<String, Value>,
        key: &str,
        place: &Place<'_>,
    ) -> Result<(), Error> {
        let place = place.field(&message.short_name, key);
        if let Some(ty) = &message.additional {
            let value = self.value(ty, &place)?;
            object.insert(key.to_owned(), value.unwrap_or(Value::Null));
        } else if message.preserve_unknown {
            let value = self.any(&place, false)?;
            object.insert(key.to_owned(), value);
        } else {
            self.complain("unknown", &place);
            self.any(&place, false)?;
        }
        Ok(())
    }

    fn list(&mut self, element: &TypeRef, ty: &TypeRef, place: &Place<'_>) -> Result<Option<Value>, Error> {
        match self.parser.next()? {
            Next::Array => {}
            Next::Null => return self.null(),
            other => return self.wrong(other, &ty.go_type(), place),
        }
        let mut items = Vec::new();
        let mut more = self.parser.open_array()?;
        while more {
            let value = self.value(element, &place.index(items.len()))?;
            items.push(value.unwrap_or_else(|| zero(element)));
            more = self.parser.next_item()?;
        }
        Ok(Some(Value::Array(items)))
    }

    fn map(&mut self, ty: &TypeRef, whole: &TypeRef, place: &Place<'_>) -> Result<Option<Value>, Error> {
        match self.parser.next()? {
            Next::Object => {}
            Next::Null => return self.null(),
            other => return self.wrong(other, &whole.go_type(), place),
        }
        let mut object = Map::new();
        let mut more = self.parser.open_object()?;
        while more {
            let key = self.parser.key()?;
            let place = place.key(&key);
            if object.contains_key(&*key) {
                self.complain("duplicate", &place);
            }
            let value = self.value(ty, &place)?;
            object.insert(key.clone().into_owned(), value.unwrap_or_else(|| zero(ty)));
            more = self.parser.next_member()?;
        }
        Ok(Some(Value::Object(object)))
    }

    fn either(&mut self, either: Either, link: &Link, place: &Place<'_>) -> Result<Option<Value>, Error> {
        match (self.parser.next()?, either) {
            (Next::Object, _) => self.message(link, place),
            (Next::Array, Either::OrList) => {
                let element = TypeRef::Message(link.clone());
                self.list(&element, &element, place)
            }
            (_, _) => Ok(Some(self.any(place, false)?).filter(|value| !value.is_null())),
        }
    }

    /// Any value, as it is.
    fn any(&mut self, place: &Place<'_>, strict: bool) -> Result<Value, Error> {
        Ok(match self.parser.next()? {
            Next::Object => self.any_object(place, strict)?,
            Next::Array => {
                let mut items = Vec::new();
                let mut more = self.parser.open_array()?;
                while more {
                    let value = self.any(&place.index(items.len()), strict)?;
                    items.push(value);
                    more = self.parser.next_item()?;
                }
                Value::Array(items)
            }
            Next::String => Value::String(self.parser.string()?.into_owned()),
            Next::Number => {
                let text = self.parser.number()?;
                literal::number(text).unwrap_or_else(|| {
                    self.mistype(&format!("number {text}"), "float64", place);
                    Value::Null
                })
            }
            Next::True => self.parser.word("true").map(|()| Value::Bool(true))?,
            Next::False => self.parser.word("false").map(|()| Value::Bool(false))?,
            Next::Null => self.parser.word("null").map(|()| Value::Null)?,
        })
    }

    fn any_object(&mut self, place: &Place<'_>, strict: bool) -> Result<Value, Error> {
        let mut object = Map::new();
        let mut more = self.parser.open_object()?;
        while more {
            let key = self.parser.key()?;
            let place = place.key(&key);
            if strict && object.contains_key(&*key) {
                self.complain("duplicate", &place);
            }
            let value = self.any(&place, strict)?;
            object.insert(key.clone().into_owned(), value);
            more = self.parser.next_member()?;
        }
        Ok(Value::Object(object))
    }

    fn null(&mut self) -> Result<Option<Value>, Error> {
        self.parser.word("null")?;
        Ok(None)
    }

    fn wrong(&mut self, got: Next, go_type: &str, place: &Place<'_>) -> Result<Option<Value>, Error> {
        self.any(place, false)?;
        self.mistype(got.word(), go_type, place);
        Ok(None)
    }
}

/// Puts a field's value in place; a field that came before is decoded over, as Go does.
fn store(object: &mut Map<String, Value>, name: &str, value: Option<Value>, presence: Presence, again: bool) {
    match value {
        None if again => {
            object.remove(name);
        }
        None => {}
        Some(value) if again => overlay(object.entry(name).or_insert(Value::Null), value),
        Some(value) if presence == Presence::Omitted && is_zero(&value) => {}
        Some(value) => {
            object.insert(name.to_owned(), value);
        }
    }
}

fn overlay(old: &mut Value, new: Value) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            for (key, value) in new {
                overlay(old.entry(key).or_insert(Value::Null), value);
            }
        }
        (old, new) => *old = new,
    }
}

pub(crate) fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(object) => object.is_empty(),
    }
}

/// Adds the fields that are always written.
fn fill(object: &mut Map<String, Value>, message: &Message) {
    for (name, value) in message.fills() {
        // Upstream keeps objects as protobuf, which knows no difference between an empty list and none.
        let is_absent = |given: &Value| value.is_null() && is_zero(given);
        if object.get(name).is_none_or(is_absent) {
            let value = match (value, message.field(name).map(|field| &field.ty)) {
                (Value::Object(_), Some(TypeRef::Message(link))) => zero_message(link),
                (value, _) => value.clone(),
            };
            object.insert(name.clone(), value);
        }
    }
}

pub(crate) fn zero_message(message: &Message) -> Value {
    let mut object = Map::new();
    fill(&mut object, message);
    Value::Object(object)
}

/// An object of which nothing is known but its type: what a new one is compared with.
pub(crate) fn blank_message(message: &Message) -> Value {
    let mut object = Map::new();
    for (name, value) in message.fills() {
        let value = match (value, message.field(name).map(|field| &field.ty)) {
            (Value::Object(_), Some(TypeRef::Message(link))) => blank_message(link),
            (value, _) => value.clone(),
        };
        object.insert(name.clone(), value);
    }
    object.extend(message.blanks().iter().map(|name| (name.to_string(), Value::Null)));
    Value::Object(object)
}

/// What a null becomes where a value must stand: in a list, or under a map's key.
fn zero(ty: &TypeRef) -> Value {
    match ty {
        TypeRef::Message(link) => zero_message(link),
        TypeRef::Scalar(Scalar::String) => "".into(),
        TypeRef::Scalar(Scalar::Bool) => false.into(),
        TypeRef::Scalar(Scalar::Int32 | Scalar::Int64 | Scalar::Double | Scalar::IntOrString) => 0.into(),
        TypeRef::Scalar(Scalar::Quantity) => "0".into(),
        TypeRef::Scalar(Scalar::Duration) => "0s".into(),
        TypeRef::Scalar(_)
        | TypeRef::List(_)
        | TypeRef::Map(_)
        | TypeRef::Either(..)
        | TypeRef::Any
        | TypeRef::Deduced => Value::Null,
    }
}
