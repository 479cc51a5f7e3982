//! What the server serves, told to clients in both forms: aggregated and legacy documents, from the rows of the table of kinds.

mod aggregated;
mod legacy;

pub use aggregated::aggregated;
#[cfg(test)]
mod tests;

pub use legacy::{api_group, api_group_list, api_resource_list, api_versions};
