//! DNS labels and subdomains (RFC 1123 and RFC 1035).

use super::{DNS_LABEL_MAX, DNS_SUBDOMAIN_MAX, regex_message};

fn too_long(max: usize) -> String {
    format!("must be no more than {max} characters")
}

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const LABEL_MESSAGE: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
const LABEL_1035: &str = "[a-z]([-a-z0-9]*[a-z0-9])?";
const LABEL_1035_MESSAGE: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character";
const SUBDOMAIN_MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
const WILDCARD_MESSAGE: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";

fn is_inner(byte: u8) -> bool {
    byte == b'-' || is_edge(byte)
}

fn is_edge(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

pub(super) fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    match bytes {
        [] => false,
        [first, .., last] => is_edge(*first) && is_edge(*last) && bytes.iter().all(|b| is_inner(*b)),
        [only] => is_edge(*only),
    }
}

pub(super) fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// A DNS label of RFC 1123: `web-1`.
pub fn dns_label(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > DNS_LABEL_MAX {
        problems.push(too_long(DNS_LABEL_MAX));
    }
    if !is_label(text) {
        let alike = if is_subdomain(text) { "must not contain dots".to_owned() } else { label_problem() };
        problems.push(alike);
    }
    problems
}

fn label_problem() -> String {
    regex_message(LABEL_MESSAGE, LABEL, &["my-name", "123-abc"])
}

/// A DNS label of RFC 1035, which begins with a letter: `web-1`.
pub fn dns_label_1035(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > DNS_LABEL_MAX {
        problems.push(too_long(DNS_LABEL_MAX));
    }
    if !(is_label(text) && text.starts_with(|c: char| c.is_ascii_lowercase())) {
        problems.push(regex_message(LABEL_1035_MESSAGE, LABEL_1035, &["my-name", "abc-123"]));
    }
    problems
}

/// DNS labels with dots between them: `web.example.com`.
pub fn dns_subdomain(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > DNS_SUBDOMAIN_MAX {
        problems.push(too_long(DNS_SUBDOMAIN_MAX));
    }
    if !is_subdomain(text) {
        let regex = format!("{LABEL}(\\.{LABEL})*");
        problems.push(regex_message(SUBDOMAIN_MESSAGE, &regex, &["example.com"]));
    }
    problems
}

/// A subdomain whose labels may also hold underscores, as the names of services in DNS do.
pub fn dns_subdomain_relaxed(text: &str) -> Vec<String> {
    const RELAXED: &str = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?";
    const MESSAGE: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character";
    let is_relaxed = |label: &str| {
        let label = label.strip_prefix('_').unwrap_or(label);
        !label.starts_with('_') && !label.ends_with('_') && is_label(&label.replace('_', "-"))
    };
    let mut problems = Vec::new();
    if text.len() > DNS_SUBDOMAIN_MAX {
        problems.push(too_long(DNS_SUBDOMAIN_MAX));
    }
    if !text.split('.').all(is_relaxed) {
        let regex = format!("{RELAXED}(\\.{RELAXED})*");
        problems.push(regex_message(MESSAGE, &regex, &["example.com"]));
    }
    problems
}

/// A subdomain after `*.`.
pub fn wildcard_subdomain(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > DNS_SUBDOMAIN_MAX {
        problems.push(too_long(DNS_SUBDOMAIN_MAX));
    }
    if !text.strip_prefix("*.").is_some_and(is_subdomain) {
        let regex = format!("\\*\\.{LABEL}(\\.{LABEL})*");
        problems.push(regex_message(WILDCARD_MESSAGE, &regex, &["*.example.com"]));
    }
    problems
}

/// An object's name that is a subdomain. A prefix may end in `-`.
pub fn dns_subdomain_name(name: &str, prefix: bool) -> Vec<String> {
    masked(name, prefix, dns_subdomain)
}

/// An object's name that is a label.
pub fn dns_label_name(name: &str, prefix: bool) -> Vec<String> {
    masked(name, prefix, dns_label)
}

/// An object's name that is a label beginning with a letter.
pub fn dns_label_1035_name(name: &str, prefix: bool) -> Vec<String> {
    masked(name, prefix, dns_label_1035)
}

/// A generated name ends in letters: a dash at the end of the prefix is as good as an `a`.
fn masked(name: &str, prefix: bool, check: fn(&str) -> Vec<String>) -> Vec<String> {
    match name.strip_suffix('-') {
        Some(stem) if prefix && !stem.is_empty() => check(&format!("{stem}a")),
        Some(_) | None => check(name),
    }
}
