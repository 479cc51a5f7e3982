//! The rules by which objects come into being, change and go, whatever their kind. Every write passes here.

mod create;
mod delete;
mod deletion;
mod meta;
mod patch;
mod update;

use bytes::Bytes;
use coracle_api::apply::Writer;
use coracle_api::identity::User;
use coracle_api::kind::Part;
use coracle_api::status::Status;
use coracle_store::Revision;
use jiff::Timestamp;
use serde_json::Value;

use crate::options::WriteOptions;
use crate::resources::Resource;
use crate::state::State;

pub(crate) use create::create;
pub(crate) use delete::{Deleted, DeletedMany, delete, delete_collection};
pub(crate) use deletion::{DeleteOptions, Propagation};
pub(crate) use meta::{begin, place, time};
pub(crate) use patch::{Patch, PatchType, apply_refusal, patch};
pub(crate) use update::{Change, guaranteed_update, rewrite, update};

/// Attempts at a write before its client is told to try again itself.
const ATTEMPTS_MAX: usize = 16;

/// Who writes what, and how.
#[derive(Clone, Copy)]
pub(crate) struct Write<'a> {
    pub(crate) state: &'a State,
    pub(crate) resource: &'a Resource,
    pub(crate) namespace: &'a str,
    /// Empty for a creation.
    pub(crate) name: &'a str,
    pub(crate) part: Part,
    pub(crate) user: &'a User,
    pub(crate) options: &'a WriteOptions,
}

/// How an object's managedFields come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ownership {
    /// From what the write changed.
    Derived,
    /// They are part of the object already, as after an apply.
    Given,
}

/// An object as it was written, or would have been.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) stored: Bytes,
    /// 0 when nothing was stored.
    pub(crate) revision: Revision,
    pub(crate) created: bool,
    pub(crate) warnings: Vec<String>,
}

impl Write<'_> {
    /// The name of the written part in managedFields: empty for the object itself.
    fn subresource(&self) -> &'static str {
        match self.part {
            Part::Object => "",
            Part::Status => "status",
            Part::Finalize => "finalize",
            Part::EphemeralContainers => "ephemeralcontainers",
            Part::Resize => "resize",
            Part::Approval => "approval",
        }
    }

    /// Who writes, for managedFields.
    fn writer(&self) -> Writer<'_> {
        Writer {
            manager: &self.options.manager,
            api_version: &self.resource.api_version,
            subresource: self.subresource(),
            now: Timestamp::now(),
            reset: self.resource.reset_fields(self.part),
        }
    }

    fn not_found(&self) -> Status {
        Status::not_found(self.resource.kind.resource(), self.name)
    }

    fn modified(&self) -> Status {
        Status::modified(self.resource.kind.resource(), self.name)
    }

    fn invalid(&self, name: &str, errors: &[coracle_api::validation::FieldError]) -> Result<(), Status> {
        if errors.is_empty() { Ok(()) } else { Err(Status::invalid(self.resource.kind.qualified(), name, errors)) }
    }
}

/// The bytes that answer a write.
pub(crate) fn answer_bytes(resource: &Resource, written: &Written) -> Bytes {
    if written.revision > 0 {
        return resource.serve(&written.stored, written.revision);
    }
    let mut object: Value = resource.decode_at(&written.stored, 0);
    meta::remove(&mut object, "resourceVersion");
    serde_json::to_vec(&object).expect("a JSON value always serialises").into()
}
