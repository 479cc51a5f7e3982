//! The API server as its clients see it: over its real router, with a store in memory.

#![expect(clippy::unwrap_used, reason = "a test that meets the unexpected fails")]

mod it {
    pub(crate) mod cluster;
    mod deletion;
    mod http2;
    mod https;
    mod identity;
    mod limits;
    mod lists;
    mod live;
    mod namespaces;
    mod patches;
    mod pods;
    mod quotas;
    mod services;
    mod watches;
    mod writes;
}
