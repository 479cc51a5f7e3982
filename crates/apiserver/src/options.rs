//! The options of a request, decoded from its query and checked as upstream checks them.

use coracle_api::kind::Resource;
use coracle_api::status::Status;
use coracle_api::validation::FieldError;
use serde_json::json;

use crate::query::Query;

/// How many characters of a field manager's name are kept.
const MANAGER_CHARS_MAX: usize = 128;

/// Options of list, watch and deletecollection.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListOptions {
    pub(crate) label_selector: String,
    pub(crate) field_selector: String,
    pub(crate) watch: bool,
    pub(crate) allow_bookmarks: bool,
    pub(crate) resource_version: String,
    pub(crate) version_match: String,
    pub(crate) timeout_seconds: Option<i64>,
    pub(crate) limit: i64,
    pub(crate) continue_token: String,
    pub(crate) send_initial_events: Option<bool>,
}

impl ListOptions {
    pub(crate) fn parse(query: &Query, watch: bool) -> Result<Self, Status> {
        let options = Self {
            label_selector: query.text("labelSelector").to_owned(),
            field_selector: query.text("fieldSelector").to_owned(),
            watch,
            allow_bookmarks: query.flag("allowWatchBookmarks"),
            resource_version: query.text("resourceVersion").to_owned(),
            version_match: query.text("resourceVersionMatch").to_owned(),
            timeout_seconds: query.number("timeoutSeconds")?,
            limit: query.number("limit")?.unwrap_or_default(),
            continue_token: query.text("continue").to_owned(),
            send_initial_events: query.optional_flag("sendInitialEvents"),
        };
        Ok(options)
    }

    /// Which parameters may stand together.
    pub(crate) fn validate(&self) -> Result<(), Status> {
        let errors = if self.watch { self.watch_errors() } else { self.list_errors() };
        invalid_options("ListOptions", &errors)
    }

    fn list_errors(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mut forbid = |field, why| errors.push(FieldError::forbidden(field, why));
        let mode = self.version_match.as_str();
        if !mode.is_empty() {
            if self.resource_version.is_empty() {
                forbid("resourceVersionMatch", "resourceVersionMatch is forbidden unless resourceVersion is provided");
            }
            if !self.continue_token.is_empty() {
                forbid("resourceVersionMatch", "resourceVersionMatch is forbidden when continue is provided");
            }
            if mode == "Exact" && self.resource_version == "0" {
                forbid("resourceVersionMatch", "resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"");
            }
        }
        if self.send_initial_events.is_some() {
            forbid("sendInitialEvents", "sendInitialEvents is forbidden for list");
        }
        if !matches!(mode, "" | "Exact" | "NotOlderThan") {
            let supported = ["Exact", "NotOlderThan", ""];
            errors.push(FieldError::not_supported("resourceVersionMatch", &json!(mode), &supported));
        }
        errors
    }

    fn watch_errors(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        let mode = self.version_match.as_str();
        let forbid = |why| FieldError::forbidden("resourceVersionMatch", why);
        if self.send_initial_events.is_some() && mode != "NotOlderThan" {
            errors.push(forbid("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"));
        }
        if !mode.is_empty() {
            if self.send_initial_events.is_none() {
                errors.push(forbid("resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"));
            }
            if mode != "NotOlderThan" {
                let supported = ["NotOlderThan"];
                errors.push(FieldError::not_supported("resourceVersionMatch", &json!(mode), &supported));
            }
        }
        if !self.continue_token.is_empty() {
            errors.push(forbid("resourceVersionMatch is forbidden when continue is provided"));
        }
        errors
    }
}

/// How strictly unknown and repeated fields of a body are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldValidation {
    Ignore,
    Warn,
    Strict,
}

/// Options of create, update and patch.
#[derive(Clone, Debug)]
pub(crate) struct WriteOptions {
    pub(crate) dry_run: bool,
    /// Who owns what this request writes.
    pub(crate) manager: String,
    pub(crate) field_validation: FieldValidation,
    pub(crate) force: bool,
}

/// The kinds of write, as options name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Write {
    Create,
    Update,
    Patch,
    Apply,
}

impl WriteOptions {
    pub(crate) fn parse(query: &Query, write: Write, user_agent: &str) -> Result<Self, Status> {
        let dry_run = query.all("dryRun");
        let mut errors = dry_run_errors(&dry_run);
        let manager = query.text("fieldManager");
        let force = query.optional_flag("force");
        match write {
            Write::Apply if manager.is_empty() => {
                errors.push(FieldError::required("fieldManager", "is required for apply patch"));
            }
            Write::Patch if force.is_some() => {
                errors.push(FieldError::forbidden("force", "may not be specified for non-apply patch"));
            }
            Write::Create | Write::Update | Write::Patch | Write::Apply => {}
        }
        errors.extend(manager_errors(manager));
        let validation = query.text("fieldValidation");
        let field_validation = match validation {
            "Ignore" => FieldValidation::Ignore,
            "" | "Warn" => FieldValidation::Warn,
            "Strict" => FieldValidation::Strict,
            _ => {
                let supported = ["", "Ignore", "Strict", "Warn"];
                errors.push(FieldError::not_supported("fieldValidation", &json!(validation), &supported));
                FieldValidation::Warn
            }
        };
        let kind = match write {
            Write::Create => "CreateOptions",
            Write::Update => "UpdateOptions",
            Write::Patch | Write::Apply => "PatchOptions",
        };
        invalid_options(kind, &errors)?;
        let manager = if manager.is_empty() { manager_of(user_agent) } else { manager.to_owned() };
        Ok(Self { dry_run: !dry_run.is_empty(), manager, field_validation, force: force.unwrap_or(false) })
    }
}

/// 422 for options that are wrong.
pub(crate) fn invalid_options(kind: &str, errors: &[FieldError]) -> Result<(), Status> {
    let kind = Resource { group: "meta.k8s.io", name: kind };
    if errors.is_empty() { Ok(()) } else { Err(Status::invalid(kind, "", errors)) }
}

pub(crate) fn dry_run_errors(dry_run: &[String]) -> Vec<FieldError> {
    if dry_run.iter().all(|mode| mode == "All") {
        return Vec::new();
    }
    vec![FieldError::not_supported("dryRun", &json!(dry_run), &["All"])]
}

fn manager_errors(manager: &str) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if manager.chars().count() > MANAGER_CHARS_MAX {
        errors.push(FieldError::too_long("fieldManager", MANAGER_CHARS_MAX));
    }
    if let Some((index, c)) = manager.char_indices().find(|(_, c)| c.is_control()) {
        let why = format!("invalid character U+{:04X} (at position {index})", c as u32);
        errors.push(FieldError::invalid("fieldManager", &json!(manager), &why));
    }
    errors
}

/// The manager of a client that does not name one: its program.
fn manager_of(user_agent: &str) -> String {
    let program = user_agent.split('/').next().unwrap_or_default();
    let printable: String = program.chars().filter(|c| !c.is_control()).take(MANAGER_CHARS_MAX).collect();
    if printable.is_empty() { "unknown".to_owned() } else { printable }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list_error(query: &str, watch: bool) -> String {
        let options = ListOptions::parse(&Query::parse(query), watch).unwrap();
        options.validate().err().map(|status| status.message).unwrap_or_default()
    }

    #[test]
    fn a_match_needs_a_version_and_no_continuation() {
        assert_eq!(
            list_error("resourceVersionMatch=Exact", false),
            "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is forbidden \
             unless resourceVersion is provided"
        );
        assert!(list_error("resourceVersionMatch=Odd&resourceVersion=1", false).contains("supported values"));
        assert_eq!(list_error("resourceVersionMatch=NotOlderThan&resourceVersion=0", false), "");
    }

    #[test]
    fn initial_events_need_their_match() {
        assert!(list_error("sendInitialEvents=true", true).contains("requires setting resourceVersionMatch"));
        assert!(list_error("sendInitialEvents=true", false).contains("forbidden for list"));
        assert_eq!(list_error("sendInitialEvents=true&resourceVersionMatch=NotOlderThan", true), "");
    }

    #[test]
    fn who_does_not_name_a_manager_is_known_by_its_program() {
        let options = |query: &str, write, agent| WriteOptions::parse(&Query::parse(query), write, agent);
        assert_eq!(options("", Write::Create, "kubectl/v1.37 (linux)").unwrap().manager, "kubectl");
        assert_eq!(options("fieldManager=me", Write::Create, "kubectl/v1").unwrap().manager, "me");
        assert_eq!(options("", Write::Create, "").unwrap().manager, "unknown");
        let missing = options("", Write::Apply, "kubectl/v1").unwrap_err();
        assert!(missing.message.contains("fieldManager: Required value: is required for apply patch"));
    }

    #[test]
    fn options_nobody_knows_are_named() {
        let error = |query: &str| WriteOptions::parse(&Query::parse(query), Write::Create, "a").unwrap_err().message;
        assert_eq!(
            error("dryRun=Most"),
            "CreateOptions.meta.k8s.io \"\" is invalid: dryRun: Unsupported value: [\"Most\"]: supported values: \"All\""
        );
        assert!(error("fieldValidation=Odd").contains("\"\", \"Ignore\", \"Strict\", \"Warn\""));
    }
}
