//! A value inside an object that knows its path, so that a check can say where it failed.

use std::fmt;

use serde_json::{Map, Value};

use super::FieldError;

static NULL: Value = Value::Null;

/// A path as a chain on the stack: nothing is allocated until an error is reported.
#[derive(Clone, Copy, Debug)]
enum Step<'p> {
    Root,
    Field(&'p Step<'p>, &'p str),
    Index(&'p Step<'p>, usize),
    Key(&'p Step<'p>, &'p str),
}

/// A value (`'v`) and its path (`'p`). A missing field is null.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'p, 'v> {
    step: Step<'p>,
    value: &'v Value,
}

impl fmt::Display for Step<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => Ok(()),
            Self::Field(Self::Root, name) => f.write_str(name),
            Self::Field(parent, name) => write!(f, "{parent}.{name}"),
            Self::Index(parent, index) => write!(f, "{parent}[{index}]"),
            Self::Key(parent, key) => write!(f, "{parent}[{key}]"),
        }
    }
}

impl<'p, 'v> Cursor<'p, 'v> {
    pub(crate) fn root(value: &'v Value) -> Self {
        Self { step: Step::Root, value }
    }

    pub(crate) fn field<'c>(&'c self, name: &'c str) -> Cursor<'c, 'v> {
        Cursor { step: Step::Field(&self.step, name), value: self.get(name) }
    }

    /// `value` at the place `name` below this one.
    pub(crate) fn with<'c>(&'c self, name: &'c str, value: &'v Value) -> Cursor<'c, 'v> {
        Cursor { step: Step::Field(&self.step, name), value }
    }

    pub(crate) fn key<'c>(&'c self, key: &'c str) -> Cursor<'c, 'v> {
        Cursor { step: Step::Key(&self.step, key), value: self.get(key) }
    }

    pub(crate) fn index<'c>(&'c self, index: usize) -> Cursor<'c, 'v> {
        Cursor { step: Step::Index(&self.step, index), value: self.value.get(index).unwrap_or(&NULL) }
    }

    pub(crate) fn items<'c>(&'c self) -> impl Iterator<Item = Cursor<'c, 'v>> {
        (0..self.value.as_array().map_or(0, Vec::len)).map(|i| self.index(i))
    }

    /// The entries of a map. Their path is `labels[key]`.
    pub(crate) fn entries<'c>(&'c self) -> impl Iterator<Item = (&'v str, Cursor<'c, 'v>)>
    where
        'v: 'c,
    {
        let entries = self.value.as_object().into_iter().flatten();
        entries.map(|(key, value)| (key.as_str(), Cursor { step: Step::Key(&self.step, key), value }))
    }

    pub(crate) fn value(&self) -> &'v Value {
        self.value
    }

    pub(crate) fn get(&self, name: &str) -> &'v Value {
        self.value.get(name).unwrap_or(&NULL)
    }

    pub(crate) fn is_set(&self) -> bool {
        !self.value.is_null()
    }

    pub(crate) fn str(&self) -> &'v str {
        self.value.as_str().unwrap_or_default()
    }

    pub(crate) fn int(&self) -> i64 {
        self.value.as_i64().unwrap_or_default()
    }

    pub(crate) fn bool(&self) -> bool {
        self.value.as_bool().unwrap_or_default()
    }

    /// The length of a list or a map; 0 for anything else.
    pub(crate) fn len(&self) -> usize {
        self.value.as_array().map_or_else(|| self.value.as_object().map_or(0, Map::len), Vec::len)
    }

    /// Null, or an empty string, list or map.
    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0 && self.str().is_empty() && !self.value.is_number() && !self.value.is_boolean()
    }

    pub(crate) fn path(&self) -> String {
        self.step.to_string()
    }

    pub(crate) fn required(&self, detail: &str) -> FieldError {
        FieldError::required(self.path(), detail)
    }

    pub(crate) fn invalid(&self, detail: &str) -> FieldError {
        FieldError::invalid(self.path(), self.value, detail)
    }

    /// A missing string counts as an empty one, as it does in Go.
    pub(crate) fn invalid_str(&self, detail: &str) -> FieldError {
        FieldError::invalid(self.path(), &Value::from(self.str()), detail)
    }

    pub(crate) fn invalid_value(&self, value: impl Into<Value>, detail: &str) -> FieldError {
        FieldError::invalid(self.path(), &value.into(), detail)
    }

    pub(crate) fn not_supported(&self, supported: &[&str]) -> FieldError {
        let empty = Value::from("");
        FieldError::not_supported(self.path(), if self.is_set() { self.value } else { &empty }, supported)
    }

    pub(crate) fn duplicate(&self) -> FieldError {
        FieldError::duplicate(self.path(), self.value)
    }

    pub(crate) fn not_found(&self) -> FieldError {
        FieldError::not_found(self.path(), &Value::from(self.str()))
    }

    pub(crate) fn forbidden(&self, detail: &str) -> FieldError {
        FieldError::forbidden(self.path(), detail)
    }
}
