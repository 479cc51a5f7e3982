//! Services: one immutable table, and the node ports that use it.
