//! What a watch has read and its client has not taken yet. Every byte of it is counted.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use coracle_store::KeyValue;

use crate::hub::Event;
use crate::state::State;

/// Something that may become a line.
pub(super) enum Ready {
    Initial(KeyValue),
    Event(Arc<Event>),
    Line(Bytes),
}

impl Ready {
    fn bytes(&self) -> usize {
        match self {
            Self::Initial(kv) => kv.value.len(),
            Self::Event(event) => event.bytes(),
            Self::Line(line) => line.len(),
        }
    }
}

/// In the order in which it will be sent.
pub(super) struct Taken {
    state: Arc<State>,
    queue: VecDeque<Ready>,
}

impl Taken {
    pub(super) fn new(state: &Arc<State>) -> Self {
        Self { state: Arc::clone(state), queue: VecDeque::new() }
    }

    pub(super) fn push(&mut self, ready: Ready) {
        self.state.metrics.watch_bytes.add(ready.bytes());
        self.queue.push_back(ready);
    }

    pub(super) fn pop(&mut self) -> Option<Ready> {
        let ready = self.queue.pop_front()?;
        self.state.metrics.watch_bytes.subtract(ready.bytes());
        Some(ready)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        while self.pop().is_some() {}
    }
}
