//! Probes, lifecycle hooks and the handlers of both.

use super::{Cursor, Errors, common};
use crate::names;

const HANDLERS: [&str; 5] = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];

/// Which probe a container has.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Probe {
    Liveness,
    Startup,
    Readiness,
}

pub(super) fn probe(at: Cursor<'_, '_>, which: Probe, grace: i64, errors: &mut Errors) {
    if !at.is_set() {
        return;
    }
    handler(at, grace, errors);
    for field in ["initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold"] {
        common::not_negative(at.field(field), errors);
    }
    let own = at.field("terminationGracePeriodSeconds");
    if own.is_set() && own.int() <= 0 {
        errors.push(own.invalid("must be greater than 0"));
    }
    if which == Probe::Readiness && own.is_set() {
        errors.push(own.invalid("must not be set for readinessProbes"));
    }
    let threshold = at.field("successThreshold");
    if which != Probe::Readiness && threshold.int() != 1 {
        errors.push(threshold.invalid_value(threshold.int(), "must be 1"));
    }
}

pub(super) fn lifecycle(at: Cursor<'_, '_>, grace: i64, errors: &mut Errors) {
    for hook in ["postStart", "preStop"] {
        if at.field(hook).is_set() {
            handler(at.field(hook), grace, errors);
        }
    }
}

/// Exactly one way to ask.
fn handler(at: Cursor<'_, '_>, grace: i64, errors: &mut Errors) {
    let mut first = true;
    for name in HANDLERS {
        let handler = at.field(name);
        if !handler.is_set() {
            continue;
        }
        if !first {
            errors.push(handler.forbidden("may not specify more than 1 handler type"));
            continue;
        }
        first = false;
        match name {
            "exec" => common::required(handler.field("command"), errors),
            "httpGet" => http_get(handler, errors),
            "tcpSocket" => common::port_or_name(handler.field("port"), errors),
            "grpc" => common::port_number(handler.field("port"), errors),
            _ => sleep(handler, grace, errors),
        }
    }
    if first {
        errors.push(at.required("must specify a handler type"));
    }
}

/// Sleeping ends before the pod's grace does.
fn sleep(at: Cursor<'_, '_>, grace: i64, errors: &mut Errors) {
    let seconds = at.field("seconds").int();
    if !(0..=grace).contains(&seconds) {
        let detail = format!("must be non-negative and less than terminationGracePeriodSeconds ({grace})");
        errors.push(at.invalid_value(seconds, &detail));
    }
}

fn http_get(at: Cursor<'_, '_>, errors: &mut Errors) {
    common::required(at.field("path"), errors);
    common::port_or_name(at.field("port"), errors);
    if !["HTTP", "HTTPS"].contains(&at.field("scheme").str()) {
        errors.push(at.field("scheme").not_supported(&["HTTP", "HTTPS"]));
    }
    let headers = at.field("httpHeaders");
    for header in headers.items() {
        let name = header.get("name").as_str().unwrap_or_default();
        errors.extend(names::http_header_name(name).iter().map(|problem| headers.invalid_value(name, problem)));
    }
}
