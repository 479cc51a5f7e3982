//! Limit ranges: that their bounds agree with each other.

use std::collections::BTreeSet;

use serde_json::Value;

use super::resource_names::{self, amount_of};
use super::{Cursor, Errors, FieldError};
use crate::names;
use crate::quantity::Quantity;

const TYPES: [&str; 3] = ["Pod", "Container", "PersistentVolumeClaim"];

pub(crate) fn limit_range(object: &Value) -> Vec<FieldError> {
    let (root, mut errors) = (Cursor::root(object), Vec::new());
    let mut seen = Vec::new();
    let spec = root.field("spec");
    for limit in spec.field("limits").items() {
        let kind = limit.field("type");
        type_name(kind, &mut errors);
        if seen.contains(&kind.str()) {
            errors.push(FieldError::duplicate(kind.path(), &kind.str().into()));
        }
        seen.push(kind.str());
        bounds(limit, &mut errors);
    }
    errors
}

fn type_name(at: Cursor<'_, '_>, errors: &mut Errors) {
    let problems = names::qualified_name(at.str());
    errors.extend(problems.iter().map(|problem| at.invalid_str(problem)));
    if problems.is_empty() && !at.str().contains('/') && !TYPES.contains(&at.str()) {
        errors.push(at.invalid_str("must be a standard limit type or fully qualified"));
    }
}

fn bounds(limit: Cursor<'_, '_>, errors: &mut Errors) {
    let kind = limit.field("type").str();
    let check = if matches!(kind, "Pod" | "Container") { resource_names::container } else { resource_names::any };
    resource_names::amounts(limit.field("max"), check, errors);
    resource_names::amounts(limit.field("min"), check, errors);
    for field in ["default", "defaultRequest"] {
        let amounts = limit.field(field);
        if kind != "Pod" {
            resource_names::amounts(amounts, check, errors);
        } else if !amounts.is_empty() {
            errors.push(amounts.forbidden("may not be specified when `type` is 'Pod'"));
        }
    }
    let has_storage = |field: &str| limit.get(field).get("storage").is_some();
    if kind == "PersistentVolumeClaim" && !has_storage("min") && !has_storage("max") {
        let detail = "either minimum or maximum storage value is required, but neither was provided";
        errors.push(limit.field("limits").required(detail));
    }
    resource_names::amounts(limit.field("maxLimitRequestRatio"), check, errors);
    let fields = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];
    let listed = |field: &str| limit.get(field).as_object().into_iter().flatten().map(|(name, _)| name.clone());
    let names: BTreeSet<String> =
        fields.into_iter().filter(|f| kind != "Pod" || !f.starts_with("default")).flat_map(listed).collect();
    for name in names {
        Bounds::of(limit.value(), kind, &name).check(limit, &name, errors);
    }
}

/// What a limit says of one resource.
struct Bounds {
    min: Option<Quantity>,
    max: Option<Quantity>,
    default: Option<Quantity>,
    request: Option<Quantity>,
    ratio: Option<Quantity>,
}

impl Bounds {
    fn of(limit: &Value, kind: &str, name: &str) -> Self {
        let find = |field: &str| amount_of(&limit[field], name);
        let defaults = |field: &str| if kind == "Pod" { None } else { find(field) };
        Self {
            min: find("min"),
            max: find("max"),
            default: defaults("default"),
            request: defaults("defaultRequest"),
            ratio: find("maxLimitRequestRatio"),
        }
    }

    fn check(&self, limit: Cursor<'_, '_>, name: &str, errors: &mut Errors) {
        let Self { min, max, default, request, .. } = *self;
        let mut above =
            |low: Option<Quantity>, high: Option<Quantity>, field: &str, shown: Option<Quantity>, [a, b]: [&str; 2]| {
                let (Some(low), Some(high), Some(shown)) = (low, high, shown) else { return };
                if low > high {
                    let detail = format!("{a} value {low} is greater than {b} value {high}");
                    errors.push(limit.field(field).key(name).invalid_value(shown.to_string(), &detail));
                }
            };
        above(min, max, "min", min, ["min", "max"]);
        above(min, request, "defaultRequest", request, ["min", "default request"]);
        above(request, max, "defaultRequest", request, ["default request", "max"]);
        above(request, default, "defaultRequest", request, ["default request", "default limit"]);
        above(min, default, "default", min, ["min", "default"]);
        above(default, max, "default", max, ["default", "max"]);
        self.check_ratio(limit, name, errors);
        self.check_overcommit(limit, name, errors);
    }

    fn check_ratio(&self, limit: Cursor<'_, '_>, name: &str, errors: &mut Errors) {
        let Some(ratio) = self.ratio else { return };
        let ratios = limit.field("maxLimitRequestRatio");
        let at = ratios.key(name);
        if ratio < Quantity::from_int(1) {
            errors.push(at.invalid_value(ratio.to_string(), &format!("ratio {ratio} is less than 1")));
        }
        if let (Some(min), Some(max)) = (self.min, self.max) {
            let widest = max.as_f64() / min.as_f64();
            if ratio.as_f64() > widest {
                let detail = format!("ratio {ratio} is greater than max/min = {widest:.6}");
                errors.push(at.invalid_value(ratio.to_string(), &detail));
            }
        }
    }

    /// What cannot be promised twice is requested as it is limited.
    fn check_overcommit(&self, limit: Cursor<'_, '_>, name: &str, errors: &mut Errors) {
        if let (Some(default), Some(request)) = (self.default, self.request)
            && !resource_names::may_overcommit(name)
            && default != request
        {
            let detail = format!("default value {default} must equal to defaultRequest value {request} in {name}");
            errors.push(limit.field("defaultRequest").key(name).invalid_value(request.to_string(), &detail));
        }
    }
}
