//! Calls that wait for the agent's answer.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::isolated::channel::Channel;
use crate::isolated::message::{Answer, Call, ToAgent};
use crate::network::NetworkError;

/// An answer and the socket that came with it.
pub(super) type Answered = Result<(Answer, Option<OwnedFd>), NetworkError>;

pub(super) struct Calls {
    channel: Channel,
    n_calls: AtomicU64,
    waiting: Mutex<HashMap<u64, oneshot::Sender<Answered>>>,
}

impl Calls {
    pub(super) fn new(channel: Channel) -> Self {
        Self { channel, n_calls: AtomicU64::new(0), waiting: Mutex::default() }
    }

    /// Asks, and returns at once. An answer that nobody takes is dropped, with what came with it.
    pub(super) fn begin(&self, call: Call) -> oneshot::Receiver<Answered> {
        let id = self.n_calls.fetch_add(1, Ordering::Relaxed);
        let (answered, answer) = oneshot::channel();
        self.waiting.lock().insert(id, answered);
        if self.channel.send(&ToAgent::Call { id, call }, &[]).is_err() {
            self.waiting.lock().remove(&id);
        }
        answer
    }

    pub(super) async fn call(&self, call: Call) -> Answered {
        self.begin(call).await.unwrap_or(Err(NetworkError::ConnectionAborted))
    }

    /// As [`Calls::call`], on this thread. For what the agent answers without waiting for anything.
    pub(super) fn call_now(&self, call: Call) -> Answered {
        futures::executor::block_on(self.call(call))
    }

    pub(super) fn close(&self, listener: u64) {
        // The agent that does not hear it has gone.
        let _ = self.channel.send(&ToAgent::Close { listener }, &[]);
    }

    pub(super) fn answered(&self, id: u64, answer: Result<Answer, NetworkError>, socket: Option<OwnedFd>) {
        if let Some(waiting) = self.waiting.lock().remove(&id) {
            let _ = waiting.send(answer.map(|answer| (answer, socket)));
        }
    }
}
