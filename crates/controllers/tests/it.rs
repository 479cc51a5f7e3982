//! The loops and the scheduler against a real API server, with a kubelet that only pretends.
#![expect(clippy::unwrap_used, reason = "a test says where it failed")]

mod it {
    mod garbage;
    mod leaders;
    mod nodes;
    mod services;
    mod volumes;
    mod workloads;
    mod world;
}
