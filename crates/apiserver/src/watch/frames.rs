//! The lines of a watch, in the form that its client wants.

use bytes::{BufMut, Bytes, BytesMut};
use coracle_api::columns::{self, IncludeObject, TableOptions};
use coracle_api::status::Status;
use coracle_store::{KeyValue, Revision};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::hub::{Change, Event, line};
use crate::negotiate::Form;
use crate::resources::Resource;

/// Makes lines of one form. Plain ones are shared among watches.
#[derive(Debug)]
pub(crate) struct Frames {
    form: Form,
    include_object: IncludeObject,
    /// A table's headings are sent with its first line only.
    has_headings: bool,
}

impl Frames {
    pub(crate) fn new(form: Form, include_object: IncludeObject) -> Self {
        Self { form, include_object, has_headings: false }
    }

    /// True when objects are shown as they are stored.
    pub(crate) fn are_plain(&self) -> bool {
        self.form == Form::Object
    }

    /// The line of an object that is there at the beginning, without looking into it.
    pub(crate) fn stored(&self, resource: &Resource, stored: &[u8], revision: Revision) -> Bytes {
        line(Change::Added.name(), |out| resource.write_object(out, stored, revision))
    }

    /// The line of an object that is there at the beginning.
    pub(crate) fn added(&mut self, resource: &Resource, kv: &KeyValue, object: &Value) -> Bytes {
        match self.shape(resource, object) {
            None => self.stored(resource, &kv.value, kv.mod_revision),
            Some(shaped) => written(Change::Added.name(), &shaped),
        }
    }

    /// The line of an event.
    pub(crate) fn event(&mut self, resource: &Resource, event: &Event, change: Change) -> Bytes {
        if self.are_plain() {
            return event.line(resource, change);
        }
        if let Form::Partial(version) = self.form
            && let Some(kv) = event.stored(change)
            && let Some(line) = partial(change.name(), version, resource, kv, event.revision)
        {
            return line;
        }
        let Some(object) = event.object(resource, change) else { return Bytes::new() };
        let shaped = self.shape(resource, object).unwrap_or_default();
        written(change.name(), &shaped)
    }

    /// The line that says how far the watch has come; `ends_initial` when everything that was there has been sent.
    pub(crate) fn bookmark(&mut self, resource: &Resource, revision: Revision, ends_initial: bool) -> Bytes {
        let mut object = json!({
            "kind": resource.kind.kind,
            "apiVersion": resource.api_version,
            "metadata": {"resourceVersion": revision.to_string()},
        });
        if ends_initial {
            object["metadata"]["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        written("BOOKMARK", &self.shape(resource, &object).unwrap_or(object))
    }

    /// The line that ends a watch that cannot go on.
    pub(crate) fn error(status: &Status) -> Bytes {
        written("ERROR", &status.to_json())
    }

    /// `None` when objects are shown as they are.
    fn shape(&mut self, resource: &Resource, object: &Value) -> Option<Value> {
        match self.form {
            Form::Object => None,
            Form::Partial(version) => Some(columns::partial(object, version)),
            Form::Table(version) => {
                let options = TableOptions {
                    now: Timestamp::now(),
                    include_object: self.include_object,
                    no_headers: std::mem::replace(&mut self.has_headings, true),
                    version,
                };
                let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
                Some(columns::table(&resource.kind, [object], metadata, options))
            }
        }
    }
}

/// The line of an object's metadata, without decoding the object; `None` where they are not shown as they are stored.
fn partial(name: &str, version: &str, resource: &Resource, kv: &KeyValue, revision: Revision) -> Option<Bytes> {
    let mut is_plain = false;
    let line = line(name, |out| {
        out.extend_from_slice(b"{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/");
        out.extend_from_slice(version.as_bytes());
        out.extend_from_slice(b"\",\"metadata\":");
        is_plain = resource.write_metadata(out, &kv.value, revision);
        out.extend_from_slice(b"}");
    });
    is_plain.then_some(line)
}

fn written(name: &str, object: &Value) -> Bytes {
    line(name, |out: &mut BytesMut| {
        serde_json::to_writer(out.writer(), object).expect("memory takes every byte");
    })
}
