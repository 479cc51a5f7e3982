//! Checks that many kinds share.

use std::net::IpAddr;

use serde_json::Value;

use super::{Cursor, Errors};
use crate::names;

pub(super) const NOT_NEGATIVE: &str = "must be greater than or equal to 0";
pub(super) const IP_ADDRESS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

/// Each problem that `check` finds with the text is one error.
pub(super) fn text(at: Cursor<'_, '_>, check: fn(&str) -> Vec<String>, errors: &mut Errors) {
    errors.extend(check(at.str()).iter().map(|problem| at.invalid_str(problem)));
}

/// As [`text`], for a field that may be absent or empty.
pub(super) fn optional_text(at: Cursor<'_, '_>, check: fn(&str) -> Vec<String>, errors: &mut Errors) {
    if !at.str().is_empty() {
        text(at, check, errors);
    }
}

/// As [`text`], for a field that must be given.
pub(super) fn required_text(at: Cursor<'_, '_>, check: fn(&str) -> Vec<String>, errors: &mut Errors) {
    if at.str().is_empty() {
        errors.push(at.required(""));
    } else {
        text(at, check, errors);
    }
}

/// A text that must be given, whatever it is.
pub(super) fn required(at: Cursor<'_, '_>, errors: &mut Errors) {
    if at.is_empty() {
        errors.push(at.required(""));
    }
}

/// One of a few words. An empty one is a missing one.
pub(super) fn one_of(at: Cursor<'_, '_>, words: &[&str], errors: &mut Errors) {
    if at.str().is_empty() {
        errors.push(at.required(""));
    } else if !words.contains(&at.str()) {
        errors.push(at.not_supported(words));
    }
}

/// As [`one_of`], for a field that may be absent.
pub(super) fn optional_one_of(at: Cursor<'_, '_>, words: &[&str], errors: &mut Errors) {
    if at.is_set() && !words.contains(&at.str()) {
        errors.push(at.not_supported(words));
    }
}

/// A number that may be absent, but not below 0.
pub(super) fn not_negative(at: Cursor<'_, '_>, errors: &mut Errors) {
    if at.int() < 0 {
        errors.push(at.invalid(NOT_NEGATIVE));
    }
}

/// One of a few words, and never nothing.
pub(super) fn one_of_words(at: Cursor<'_, '_>, words: &[&str], errors: &mut Errors) {
    if !words.contains(&at.str()) {
        errors.push(at.not_supported(words));
    }
}

/// A count that only grows.
pub(super) fn not_decremented(at: Cursor<'_, '_>, before: &Value, errors: &mut Errors) {
    if before.as_i64().is_some_and(|before| at.int() < before) {
        errors.push(at.invalid_value(at.int(), "cannot be decremented"));
    }
}

/// A port that must be given.
pub(super) fn port_number(at: Cursor<'_, '_>, errors: &mut Errors) {
    errors.extend(names::port_number(at.int()).iter().map(|problem| at.invalid_value(at.int(), problem)));
}

/// A port by number or name.
pub(super) fn port_or_name(at: Cursor<'_, '_>, errors: &mut Errors) {
    match at.value() {
        Value::String(_) => text(at, names::port_name, errors),
        _ => port_number(at, errors),
    }
}

/// An IP address. Its forms are those of Go: no leading zeros.
pub(super) fn ip(at: Cursor<'_, '_>, errors: &mut Errors) {
    if parse_ip(at.str()).is_none() {
        errors.push(at.invalid_str(IP_ADDRESS));
    }
}

pub(super) fn parse_ip(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

/// An address that something outside its own host can reach.
pub(super) fn reachable_ip(at: Cursor<'_, '_>, errors: &mut Errors) {
    let Some(ip) = parse_ip(at.str()) else {
        errors.push(at.invalid_str(IP_ADDRESS));
        return;
    };
    if ip.is_unspecified() {
        errors.push(at.invalid(&format!("may not be unspecified ({ip})")));
    }
    if ip.is_loopback() {
        errors.push(at.invalid("may not be in the loopback range (127.0.0.0/8, ::1/128)"));
    }
    let (link_local, multicast) = link_local(ip);
    if link_local {
        errors.push(at.invalid("may not be in the link-local range (169.254.0.0/16, fe80::/10)"));
    }
    if multicast {
        errors.push(at.invalid("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"));
    }
}

fn link_local(ip: IpAddr) -> (bool, bool) {
    match ip {
        IpAddr::V4(v4) => (v4.is_link_local(), v4.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(v6) => (v6.segments()[0] & 0xffc0 == 0xfe80, v6.segments()[0] & 0xff0f == 0xff02),
    }
}

/// Labels, or anything of their form. Problems are reported at the map.
pub(super) fn labels(at: Cursor<'_, '_>, errors: &mut Errors) {
    for (key, value) in at.entries() {
        errors.extend(names::qualified_name(key).iter().map(|problem| at.invalid_value(key, problem)));
        errors.extend(names::label_value(value.str()).iter().map(|problem| at.invalid_value(value.str(), problem)));
    }
}

/// A value that may not change.
pub(super) fn immutable(new: Cursor<'_, '_>, old: &Value, errors: &mut Errors) {
    if new.value() != old {
        errors.push(new.invalid("field is immutable"));
    }
}

/// A path inside a volume.
pub(super) fn relative_path(at: Cursor<'_, '_>, errors: &mut Errors) {
    if at.str().starts_with('/') {
        errors.push(at.invalid("must be a relative path"));
    }
    no_backsteps(at, errors);
}

/// A path that does not leave where it begins.
pub(super) fn no_backsteps(at: Cursor<'_, '_>, errors: &mut Errors) {
    if at.str().split('/').any(|part| part == "..") {
        errors.push(at.invalid("must not contain '..'"));
    }
}
