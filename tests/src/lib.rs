//! Stories told with the real binary and real clients.
