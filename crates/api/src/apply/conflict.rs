//! What stands against an apply, in upstream's words.

use std::{collections::BTreeMap, fmt};

use crate::fieldset::Path;

/// A field that another manager owns and that the apply would change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    pub manager: String,
    pub subresource: String,
    /// The API version that a manager wrote with, unless it applied.
    pub using: Option<String>,
    pub path: Path,
}

impl Conflict {
    /// The manager as messages name it: `"x" with subresource "scale" using apps/v1`.
    fn who(&self) -> String {
        let mut who = format!("{:?}", self.manager);
        if !self.subresource.is_empty() {
            who += &format!(" with subresource {:?}", self.subresource);
        }
        if let Some(using) = &self.using {
            who += &format!(" using {using}");
        }
        who
    }

    /// The cause's message; its reason is `FieldManagerConflict` and its field the path.
    pub fn message(&self) -> String {
        format!("conflict with {}", self.who())
    }

    /// The cause's field.
    pub fn field(&self) -> String {
        self.path.to_string()
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Conflicts(pub Vec<Conflict>);

impl Conflicts {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Conflicts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let [only] = &self.0[..] {
            return write!(formatter, "Apply failed with 1 conflict: {}: {}", only.message(), only.path);
        }
        let mut by_manager: BTreeMap<String, Vec<&Path>> = BTreeMap::new();
        for conflict in &self.0 {
            by_manager.entry(conflict.who()).or_default().push(&conflict.path);
        }
        let mut lines = Vec::new();
        for (who, paths) in by_manager {
            lines.push(format!("conflicts with {who}:"));
            lines.extend(paths.iter().map(|path| format!("- {path}")));
        }
        write!(formatter, "Apply failed with {} conflicts: {}", self.0.len(), lines.join("\n"))
    }
}
