//! `Status` bodies: the only place that knows upstream's codes, reasons and words for what went wrong.

use std::fmt;

use serde_json::{Map, Value, json};

use crate::identity::User;
use crate::kind::Resource;
use crate::validation::{FieldError, aggregate};

mod forbidden;

pub use forbidden::Attributes;

/// An answer that is no object: a failure, or the success of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    pub code: u16,
    /// Empty where upstream gives none.
    pub reason: &'static str,
    pub message: String,
    pub details: Option<Box<Details>>,
    pub success: bool,
}

/// What a failure is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Details {
    pub name: String,
    pub group: String,
    pub kind: String,
    pub uid: String,
    pub causes: Vec<Cause>,
    pub retry_after_seconds: u32,
}

/// One of several reasons of a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    pub reason: String,
    pub message: String,
    pub field: String,
}

impl std::error::Error for Status {}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

fn about(resource: Resource<'_>, name: &str) -> Details {
    Details {
        name: name.to_owned(),
        group: resource.group.to_owned(),
        kind: resource.name.to_owned(),
        ..Details::default()
    }
}

/// Failures.
impl Status {
    fn failure(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self { code, reason, message: message.into(), details: None, success: false }
    }

    fn with(mut self, details: Details) -> Self {
        self.details = Some(Box::new(details));
        self
    }

    /// 404: `pods "x" not found`.
    pub fn not_found(resource: Resource<'_>, name: &str) -> Self {
        Self::failure(404, "NotFound", format!("{resource} \"{name}\" not found")).with(about(resource, name))
    }

    /// 404 for a path below the API that leads nowhere.
    pub fn path_not_found() -> Self {
        Self::failure(404, "NotFound", "the server could not find the requested resource").with(Details::default())
    }

    /// 409: `pods "x" already exists`.
    pub fn already_exists(resource: Resource<'_>, name: &str) -> Self {
        Self::failure(409, "AlreadyExists", format!("{resource} \"{name}\" already exists")).with(about(resource, name))
    }

    /// 409: `Operation cannot be fulfilled on pods "x": why`.
    pub fn conflict(resource: Resource<'_>, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {resource} \"{name}\": {why}");
        Self::failure(409, "Conflict", message).with(about(resource, name))
    }

    /// 409: somebody else changed the object since the client read it.
    pub fn modified(resource: Resource<'_>, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(resource, name, why)
    }

    /// 409: an apply that would take fields from other managers. Each conflict is its message and the field.
    pub fn apply_conflict(message: impl Into<String>, conflicts: impl IntoIterator<Item = (String, String)>) -> Self {
        let cause = |(message, field)| Cause { reason: "FieldManagerConflict".to_owned(), message, field };
        let causes = conflicts.into_iter().map(cause).collect();
        Self::failure(409, "Conflict", message).with(Details { causes, ..Details::default() })
    }

    /// 422: `Deployment.apps "x" is invalid: …`. `kind` is [`crate::kind::Kind::qualified`].
    pub fn invalid(kind: Resource<'_>, name: &str, errors: &[FieldError]) -> Self {
        let cause = |e: &FieldError| Cause {
            reason: e.error_type.reason().to_owned(),
            message: e.message.clone(),
            field: e.field.clone(),
        };
        let causes = errors.iter().map(cause).collect();
        let message = match errors {
            [] => format!("{kind} \"{name}\" is invalid"),
            errors => format!("{kind} \"{name}\" is invalid: {}", aggregate(errors)),
        };
        Self::failure(422, "Invalid", message).with(Details { causes, ..about(kind, name) })
    }

    /// 400 with `message` as it is.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::failure(400, "BadRequest", message)
    }

    /// 422 with `message` as it is: a JSON patch that cannot be applied.
    pub fn unprocessable(message: impl Into<String>) -> Self {
        Self::failure(422, "Invalid", message).with(Details::default())
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Self::failure(401, "Unauthorized", "Unauthorized")
    }

    /// 403: `pods "x" is forbidden: why`. An empty name is left out.
    pub fn forbidden(resource: Resource<'_>, name: &str, why: &str) -> Self {
        let message = match (resource.name, name) {
            ("", _) => format!("forbidden: {why}"),
            (_, "") => format!("{resource} is forbidden: {why}"),
            (_, name) => format!("{resource} \"{name}\" is forbidden: {why}"),
        };
        Self::failure(403, "Forbidden", message).with(about(resource, name))
    }

    /// 403: what authorisation refused to `user`.
    pub fn denied(user: &User, attributes: &Attributes<'_>, why: &str) -> Self {
        forbidden::denied(user, attributes, why)
    }

    /// 403: nothing new is created in a namespace that is going away.
    pub fn namespace_terminating(resource: Resource<'_>, name: &str, namespace: &str) -> Self {
        let why = format!("unable to create new content in namespace {namespace} because it is being terminated");
        let cause = Cause {
            reason: "NamespaceTerminating".to_owned(),
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".to_owned(),
        };
        Self::forbidden(resource, name, &why).because(cause)
    }

    /// 405.
    pub fn method_not_allowed() -> Self {
        let message = "the server does not allow this method on the requested resource";
        Self::failure(405, "MethodNotAllowed", message).with(Details::default())
    }

    /// 405 for a verb that this resource has not.
    pub fn method_not_supported(resource: Resource<'_>, verb: &str) -> Self {
        let message = format!("{verb} is not supported on resources of kind \"{resource}\"");
        Self::failure(405, "MethodNotAllowed", message).with(about(resource, ""))
    }

    /// 406: none of the media types that the client accepts is served.
    pub fn not_acceptable(accepted: &str) -> Self {
        let message = format!("only the following media types are accepted: {accepted}");
        Self::failure(406, "NotAcceptable", message)
    }

    /// 406: none of the media types that the client accepts is served here, where these are.
    pub fn no_representation(served: &str) -> Self {
        let message = format!("406: Not Acceptable\n\nAvailable representations: {served}");
        Self::failure(406, "NotAcceptable", message).with(Details::default())
    }

    /// 415: the body is in none of the media types that are read.
    pub fn unsupported_media_type(accepted: &str) -> Self {
        let message =
            format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
        Self::failure(415, "UnsupportedMediaType", message)
    }

    /// 410: the resource version or the continue token is too old.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::failure(410, "Expired", message)
    }

    /// 410: something is gone for good.
    pub fn gone(message: impl Into<String>) -> Self {
        Self::failure(410, "Gone", message)
    }

    /// 413.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::failure(413, "RequestEntityTooLarge", format!("Request entity is too large: {}", message.into()))
    }

    /// 429: try again after some seconds.
    pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: u32) -> Self {
        Self::failure(429, "TooManyRequests", message).with(Details { retry_after_seconds, ..Details::default() })
    }

    /// 504: the server gave up on an operation.
    pub fn timeout(message: &str, retry_after_seconds: u32) -> Self {
        let details = Details { retry_after_seconds, ..Details::default() };
        Self::failure(504, "Timeout", format!("Timeout: {message}")).with(details)
    }

    /// 500: the operation took too long; try again.
    pub fn server_timeout(resource: Resource<'_>, verb: &str, retry_after_seconds: u32) -> Self {
        let message =
            format!("The {verb} operation against {resource} could not be completed at this time, please try again.");
        Self::failure(500, "ServerTimeout", message).with(Details { retry_after_seconds, ..about(resource, "") })
    }

    /// 504: the resource version that a read asked for has not arrived yet.
    pub fn too_large_resource_version(asked: u64, current: u64, retry_after_seconds: u32) -> Self {
        let cause = Cause {
            reason: "ResourceVersionTooLarge".to_owned(),
            message: "Too large resource version".to_owned(),
            field: String::new(),
        };
        let message = format!("Too large resource version: {asked}, current: {current}");
        Self::timeout(&message, retry_after_seconds).because(cause)
    }

    /// 503: something that is needed is not there.
    pub fn service_unavailable(message: impl Into<String>) -> Self {
        Self::failure(503, "ServiceUnavailable", message)
    }

    /// 500: `Internal error occurred: why`.
    pub fn internal(why: &str) -> Self {
        let cause = Cause { message: why.to_owned(), ..Cause::default() };
        Self::failure(500, "InternalError", format!("Internal error occurred: {why}"))
            .with(Details::default())
            .because(cause)
    }

    /// 500 without a reason, which upstream gives where an error has no type of its own.
    pub fn unknown(message: impl Into<String>) -> Self {
        Self::failure(500, "", message)
    }

    /// Adds a cause.
    pub fn because(mut self, cause: Cause) -> Self {
        self.details.get_or_insert_default().causes.push(cause);
        self
    }
}

/// Successes.
impl Status {
    /// 200: the object is deleted.
    pub fn deleted(resource: Resource<'_>, name: &str, uid: &str) -> Self {
        let details = Details { uid: uid.to_owned(), ..about(resource, name) };
        Self { success: true, code: 200, reason: "", message: String::new(), details: Some(Box::new(details)) }
    }

    /// 201: a pod is bound, or evicted.
    pub fn created() -> Self {
        Self { success: true, code: 201, reason: "", message: String::new(), details: None }
    }
}

/// The body.
impl Status {
    pub fn to_json(&self) -> Value {
        let mut body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}});
        body["status"] = json!(if self.success { "Success" } else { "Failure" });
        set(&mut body, "message", &self.message);
        set(&mut body, "reason", self.reason);
        if let Some(details) = &self.details {
            body["details"] = details.to_json();
        }
        // A deletion's success is the one status that carries no code.
        if !(self.success && self.details.is_some()) {
            body["code"] = json!(self.code);
        }
        body
    }
}

impl Details {
    fn to_json(&self) -> Value {
        let mut body = Value::Object(Map::new());
        set(&mut body, "name", &self.name);
        set(&mut body, "group", &self.group);
        set(&mut body, "kind", &self.kind);
        set(&mut body, "uid", &self.uid);
        if !self.causes.is_empty() {
            body["causes"] = self.causes.iter().map(Cause::to_json).collect();
        }
        if self.retry_after_seconds > 0 {
            body["retryAfterSeconds"] = json!(self.retry_after_seconds);
        }
        body
    }
}

impl Cause {
    fn to_json(&self) -> Value {
        let mut body = Value::Object(Map::new());
        set(&mut body, "reason", &self.reason);
        set(&mut body, "message", &self.message);
        set(&mut body, "field", &self.field);
        body
    }
}

fn set(body: &mut Value, field: &str, text: &str) {
    if !text.is_empty() {
        body[field] = json!(text);
    }
}

#[cfg(test)]
mod tests;
