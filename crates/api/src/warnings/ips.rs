//! Addresses that are written in another than their proper form.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::validation::{Cursor, go_quote};

/// An address that is valid but not in its canonical form.
pub(super) fn ip(at: Cursor<'_, '_>, warnings: &mut Vec<String>) {
    let text = at.str();
    let Ok(address) = text.parse::<IpAddr>() else { return };
    if let IpAddr::V6(v6) = address
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        let (path, text, v4) = (at.path(), go_quote(text), go_quote(&v4.to_string()));
        warnings.push(format!(
            "{path}: non-standard IP address {text} will be considered invalid in a future Kubernetes release: use {v4}"
        ));
    } else if address.is_ipv6() && address.to_string() != text {
        let (path, text, proper) = (at.path(), go_quote(text), go_quote(&address.to_string()));
        warnings.push(format!("{path}: IPv6 address {text} should be in RFC 5952 canonical format ({proper})"));
    }
}

/// A range that is valid but could be misread.
pub(super) fn cidr(at: Cursor<'_, '_>, warnings: &mut Vec<String>) {
    let text = at.str();
    let Ok(range) = text.parse::<IpNet>() else { return };
    let path = at.path();
    if range.addr() != range.network() {
        let network = go_quote(&range.trunc().to_string());
        let single = go_quote(&format!("{}/{}", range.addr(), range.max_prefix_len()));
        let text = go_quote(text);
        warnings
            .push(format!("{path}: CIDR value {text} is ambiguous in this context (should be {network} or {single}?)"));
    }
    if range.addr().is_ipv6() && range.to_string() != text {
        let (text, proper) = (go_quote(text), go_quote(&range.to_string()));
        warnings.push(format!("{path}: IPv6 CIDR value {text} should be in RFC 5952 canonical format ({proper})"));
    }
}
