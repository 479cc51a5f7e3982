//! Pods on a node, against a real API server, with real guests.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod it {
    mod guests;
    mod lives;
    mod world;
}
