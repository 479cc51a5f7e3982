//! The forms that names, labels and the like must have, with upstream's words for those that have not.

mod dns;
mod generate;
mod qualified;

pub use dns::{
    dns_label, dns_label_1035, dns_label_1035_name, dns_label_name, dns_subdomain, dns_subdomain_name,
    dns_subdomain_relaxed, wildcard_subdomain,
};
pub use generate::{ALPHABET, GENERATED_PREFIX_MAX, generated_name};
pub use qualified::{
    c_identifier, config_map_key, env_var_name, http_header_name, label_value, path_segment, port_name, port_number,
    qualified_name,
};

/// Lengths that upstream allows.
pub const DNS_LABEL_MAX: usize = 63;
pub const DNS_SUBDOMAIN_MAX: usize = 253;

pub(crate) fn too_long(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

/// `must …, regex used for validation is '…'`, with examples between.
pub(crate) fn regex_message(message: &str, regex: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{message} (regex used for validation is '{regex}')");
    }
    let mut text = format!("{message} (e.g. ");
    for (i, example) in examples.iter().enumerate() {
        if i > 0 {
            text.push_str(" or ");
        }
        text.push_str(&format!("'{example}', "));
    }
    format!("{text}regex used for validation is '{regex}')")
}

#[cfg(test)]
mod tests;
