//! What a namespace may use: quotas, and the limits of single objects.

use serde_json::json;

use crate::kind::{Hooks, Kind};
use crate::kinds::{row, status, strings};
use crate::{columns, defaults, validation};

pub(super) fn limit_range() -> Kind {
    Kind {
        short_names: strings(&["limits"]),
        create_on_update: true,
        hooks: Hooks {
            defaults: defaults::limits::limit_range,
            validate: validation::limit_ranges::limit_range,
            validate_update: |new, _, _| validation::limit_ranges::limit_range(new),
            ..Hooks::default()
        },
        ..row("", "v1", "LimitRange", "limitranges")
    }
}

pub(super) fn resource_quota() -> Kind {
    Kind {
        short_names: strings(&["quota"]),
        subresources: vec![status("ResourceQuota", "")],
        columns: columns::cluster::quota(),
        hooks: Hooks {
            validate: validation::quotas::quota,
            validate_update: validation::quotas::quota_update,
            ..Hooks::default()
        },
        empty_status: Some(json!({})),
        returns_deleted: true,
        ..row("", "v1", "ResourceQuota", "resourcequotas")
    }
}
