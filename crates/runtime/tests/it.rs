//! Real guests in real containers, on a network that exists only here.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod it {
    mod adversaries;
    mod commands;
    mod exec;
    mod host;
    mod http;
    mod isolated;
    mod limits;
    mod loading;
    mod sockets;
}
