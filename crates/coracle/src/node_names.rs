//! What the nodes of this process are called: the same after every restart, so that they find their pods again.

#[cfg(test)]
mod tests;

use std::path::Path;

use anyhow::{Context, Result};

/// Leaves room for a number behind it in a label's 63 characters.
const NAME_LEN_MAX: usize = 50;

/// The first node's name is the host's at first start. The data directory keeps it, because a host's name may change
/// (a container's does with every start) while pods stay bound to the node.
pub(crate) fn first(data_dir: &Path) -> Result<String> {
    let path = data_dir.join("node-name");
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    if !kept.is_empty() {
        return Ok(kept);
    }
    let name = from_host(&rustix::system::uname().nodename().to_string_lossy());
    std::fs::write(&path, &name).with_context(|| format!("keep the node's name in {}", path.display()))?;
    Ok(name)
}

/// More nodes add names, and change none.
pub(crate) fn all(first: &str, n_nodes: u16) -> Vec<String> {
    let more = (2..=n_nodes).map(|i| format!("{first}-{i}"));
    std::iter::once(first.to_owned()).chain(more).take(n_nodes.into()).collect()
}

fn from_host(host: &str) -> String {
    let name: String = host.to_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = name[..name.len().min(NAME_LEN_MAX)].trim_matches('-');
    if name.is_empty() { "coracle".to_owned() } else { name.to_owned() }
}
