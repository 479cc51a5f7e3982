//! The name of a job's controller: a path below a domain.

use std::sync::LazyLock;

use regex::Regex;

use crate::names;
use crate::validation::{Cursor, Errors, FieldError};

const LENGTH_MAX: usize = 63;
const PATH: &str = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+";
static PATH_FORM: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(&format!("^{PATH}$")).expect("the expression is a constant"));

pub(super) fn managed_by(at: Cursor<'_, '_>, errors: &mut Errors) {
    path(at, errors);
    if at.str().len() > LENGTH_MAX {
        errors.push(FieldError::too_long(at.path(), LENGTH_MAX));
    }
}

fn path(at: Cursor<'_, '_>, errors: &mut Errors) {
    if at.str().is_empty() {
        errors.push(at.required(""));
        return;
    }
    let parts = at.str().split_once('/').filter(|(host, path)| !host.is_empty() && !path.is_empty());
    let Some((host, path)) = parts else {
        errors.push(at.invalid("must be a domain-prefixed path (such as \"acme.io/foo\")"));
        return;
    };
    errors.extend(names::dns_subdomain(host).iter().map(|problem| at.invalid_value(host, problem)));
    if !PATH_FORM.is_match(path) {
        errors.push(at.invalid_value(path, &names::regex_message("Invalid path", PATH, &[])));
    }
}
