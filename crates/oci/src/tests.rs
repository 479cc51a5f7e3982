//! Push, pull and the protocol, against a registry in this process.
