//! Worlds and the tables they make.
