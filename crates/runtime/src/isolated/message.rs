//! What the agent and the process of an isolated container say to each other. Bytes of connections and of standard
//! streams are not among it: they have sockets of their own, which these messages carry.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::recipe::Recipe;
use crate::container::{Exit, Usage};
use crate::http;
use crate::network::NetworkError;

/// From the agent.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToChild {
    /// The first message. It carries the compiled code, the socket of the output, and that of the standard input if
    /// there is one.
    Start(Box<Recipe>),
    /// The answer to a call. A stream or a datagram socket comes with it.
    Answer {
        id: u64,
        answer: Result<Answer, NetworkError>,
    },
    Terminate,
    /// Asks for [`ToAgent::Used`].
    Report,
    Limit {
        memory_max: Option<u64>,
    },
}

/// From the process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToAgent {
    /// An HTTP component accepts connections, or a command has begun.
    Listening,
    /// Asks for something of the network; [`ToChild::Answer`] has the same `id`.
    Call {
        id: u64,
        call: Call,
    },
    /// A listener was dropped.
    Close {
        listener: u64,
    },
    Used(Used),
    /// Its guest has failed. What it was like then comes with it, as a file in memory.
    Core,
    Ended {
        exit: Exit,
        used: Used,
    },
    /// The guest could not be started as it must be.
    Refused {
        why: String,
    },
}

/// What a process says of what its container has used.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Used {
    pub(super) usage: Usage,
    pub(super) requests: http::Requests,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Call {
    Listen { local: SocketAddr, backlog: usize },
    Accept { listener: u64 },
    Connect { local: Option<SocketAddr>, remote: SocketAddr },
    BindUdp { local: SocketAddr },
    Resolve { name: String },
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Listening { listener: u64, local: SocketAddr },
    Stream { local: SocketAddr, peer: SocketAddr },
    Datagrams { local: SocketAddr },
    Resolved(Vec<IpAddr>),
}
