//! One kind of the API: what it is called, where it is kept and how its objects behave. A kind never knows other kinds.

use std::fmt;

use serde_json::Value;

use crate::columns::Columns;
use crate::validation::FieldError;

mod meta;
mod parts;

pub(crate) use meta::drop_null;
pub use meta::{generation_of, name_of, namespace_of, uid_of};
pub(crate) use parts::keep;
pub use parts::{Part, Subresource};

/// A row of the table of kinds. A custom resource becomes the same row at run time.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub singular: String,
    pub namespaced: bool,
    pub short_names: Vec<String>,
    pub categories: Vec<String>,
    pub verbs: Vec<String>,
    pub subresources: Vec<Subresource>,
    /// The name of the structure in `schema`, as in `io.k8s.api.apps.v1.Deployment`.
    pub schema: String,
    pub source: Source,
    /// Where objects are kept: a key is this, the namespace of a namespaced kind, and the name, with `/` between.
    pub storage: String,
    /// Another representation is stored than is served.
    pub conversion: Option<Conversion>,
    /// When `metadata.generation` grows.
    pub generation: Generation,
    /// A creation may bring a status (nodes).
    pub status_on_create: bool,
    /// The status that a new object has; none at all when this is none.
    pub empty_status: Option<Value>,
    /// Deletion waits for somebody to confirm it (pods).
    pub graceful: bool,
    /// The answer to a deletion is the object, and not a `Status`.
    pub returns_deleted: bool,
    /// A deletion that does not say otherwise leaves the dependents alone.
    pub orphans: bool,
    /// PUT of a missing object creates it.
    pub create_on_update: bool,
    /// PUT without resourceVersion overwrites what is there.
    pub unconditional_update: bool,
    /// What every request about the kind is told: that a newer one should be used.
    pub deprecation: Option<String>,
    pub columns: Columns,
    /// Field selectors besides `metadata.name` and `metadata.namespace`.
    pub fields: Vec<SelectableField>,
    pub hooks: Hooks,
}

/// Where objects come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// They are kept in the store.
    Store,
    /// Nobody keeps them: every node is asked at `path` for those that it has now.
    Nodes { path: &'static str },
}

/// What makes `metadata.generation` grow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// The kind has none.
    None,
    /// A change of `spec`.
    Spec,
    /// A change of anything but `metadata` and `status`.
    Content,
    /// As `Content`, or another label: who the object is for is part of what it says.
    ContentAndLabels,
}

/// From what is served to what is stored, and back.
#[derive(Clone, Copy, Debug)]
pub struct Conversion {
    pub to_storage: fn(&mut Value),
    pub from_storage: fn(&mut Value),
}

/// A field that `fieldSelector` may name.
#[derive(Clone, Debug)]
pub struct SelectableField {
    pub name: String,
    pub value: fn(&Value) -> String,
}

/// What is special about a kind. The default of each hook does nothing.
#[derive(Clone, Copy, Debug)]
pub struct Hooks {
    /// Fills what the client left out.
    pub defaults: fn(&mut Value),
    /// Drops what a creation may not set.
    pub prepare_create: fn(&mut Value),
    /// Keeps from the old object what an update of this part may not change.
    pub prepare_update: fn(&mut Value, &Value, Part),
    /// Checks an object as a whole, metadata excepted.
    pub validate: fn(&Value) -> Vec<FieldError>,
    /// Checks a change of the object, metadata excepted. It replaces `validate`, which it calls where upstream does.
    pub validate_update: fn(&Value, &Value, Part) -> Vec<FieldError>,
    /// Checks a name, or the part of one before the generated suffix when the second argument is true.
    pub validate_name: fn(&str, bool) -> Vec<String>,
    /// The words about a field selector that names another field.
    pub unknown_field: fn(&str) -> String,
    /// What the client is told about an accepted object, in `Warning` headers.
    pub warnings: fn(&Value, Option<&Value>) -> Vec<String>,
}

impl Default for Hooks {
    fn default() -> Self {
        Self {
            defaults: |_| {},
            prepare_create: |_| {},
            prepare_update: |_, _, _| {},
            validate: |_| Vec::new(),
            validate_update: |_, _, _| Vec::new(),
            validate_name: crate::names::dns_subdomain_name,
            unknown_field: |field| format!("field label not supported: {field}"),
            warnings: |_, _| Vec::new(),
        }
    }
}

/// The name of a resource with its group. Displays as `deployments.apps`, or as `pods`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resource<'a> {
    pub group: &'a str,
    pub name: &'a str,
}

impl fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() { f.write_str(self.name) } else { write!(f, "{}.{}", self.name, self.group) }
    }
}

impl Kind {
    /// The resource in messages about its objects.
    pub fn resource(&self) -> Resource<'_> {
        Resource { group: &self.group, name: &self.plural }
    }

    /// The kind in messages about invalid objects: `Deployment.apps`.
    pub fn qualified(&self) -> Resource<'_> {
        Resource { group: &self.group, name: &self.kind }
    }

    /// `apps/v1`, or `v1` in the core group.
    pub fn api_version(&self) -> String {
        api_version(&self.group, &self.version)
    }

    /// The kind of lists: `PodList`.
    pub fn list_kind(&self) -> String {
        format!("{}List", self.kind)
    }

    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }

    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }

    /// The key of one object. `namespace` is ignored for a kind without namespaces.
    pub fn key(&self, namespace: &str, name: &str) -> String {
        if self.namespaced {
            format!("{}/{namespace}/{name}", self.storage)
        } else {
            format!("{}/{name}", self.storage)
        }
    }

    /// What the keys of all objects, or of all in one namespace, begin with. It ends in `/`.
    pub fn prefix(&self, namespace: Option<&str>) -> String {
        match namespace {
            Some(namespace) if self.namespaced => format!("{}/{namespace}/", self.storage),
            Some(_) | None => format!("{}/", self.storage),
        }
    }

    /// Fills what the client left out.
    pub fn default(&self, object: &mut Value) {
        (self.hooks.defaults)(object);
    }

    /// Drops what a creation may not set and begins the generation. The name is known by now; what else of the metadata
    /// the server owns (uid, times) is the caller's part.
    pub fn prepare_create(&self, object: &mut Value) {
        if self.isolates_status() && !self.status_on_create {
            meta::replace(object, "status", self.empty_status.as_ref());
        }
        if !self.namespaced {
            meta::drop_namespace(object);
        }
        meta::begin_generation(self.generation, object);
        (self.hooks.prepare_create)(object);
    }

    /// Keeps from `old` what an update of `part` may not change, and counts the generation.
    pub fn prepare_update(&self, new: &mut Value, old: &Value, part: Part) {
        parts::isolate(self, new, old, part);
        (self.hooks.prepare_update)(new, old, part);
        meta::count_generation(self.generation, new, old);
    }

    /// Checks a new object. An empty list means that it is valid.
    pub fn validate(&self, object: &Value) -> Vec<FieldError> {
        let mut errors = crate::validation::metadata::validate(self, object);
        errors.extend((self.hooks.validate)(object));
        errors
    }

    /// Checks a change.
    pub fn validate_update(&self, new: &Value, old: &Value, part: Part) -> Vec<FieldError> {
        let mut errors = crate::validation::metadata::validate_update(self, new, old);
        errors.extend((self.hooks.validate_update)(new, old, part));
        errors
    }

    /// What the client is told about an object that is accepted.
    pub fn warnings(&self, new: &Value, old: Option<&Value>) -> Vec<String> {
        (self.hooks.warnings)(new, old)
    }

    pub(crate) fn isolates_status(&self) -> bool {
        self.subresource("status").is_some()
    }
}

/// `apps/v1`, or `v1` in the core group.
pub fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}
