//! The one thread that writes: it takes whatever is waiting, commits it at once, and only then lets anybody see it.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

use crate::log::{Cause, Commit, Log};
use crate::plan::Plan;
use crate::state::{State, Unreachable};
use crate::store::Shared;
use crate::{Error, Event, Revision, Txn, TxnOutcome};

/// Transactions of one commit. More would only make the first of them wait longer.
const BATCH_TXNS_MAX: usize = 512;

/// Something for the writer to do.
#[derive(Debug)]
pub(crate) enum Request {
    /// `_room` is its share of the queue's bytes.
    Txn {
        txn: Txn,
        reply: oneshot::Sender<Result<TxnOutcome, Error>>,
        _room: OwnedSemaphorePermit,
    },
    Compact {
        revision: Revision,
        reply: oneshot::Sender<Result<(), Error>>,
    },
}

/// The thread, which ends when every sender of requests is gone.
pub(crate) fn spawn(
    log: Log,
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Request>,
) -> std::io::Result<JoinHandle<()>> {
    let writer = Writer { log, shared, requests };
    thread::Builder::new().name("store-writer".into()).spawn(move || writer.run())
}

struct Writer {
    log: Log,
    shared: Arc<Shared>,
    requests: mpsc::Receiver<Request>,
}

/// What each of a batch's callers will be told.
type Replies = Vec<(oneshot::Sender<Result<TxnOutcome, Error>>, TxnOutcome)>;

impl Writer {
    fn run(mut self) {
        while let Some(first) = self.requests.blocking_recv() {
            let compact = self.batch(first);
            if let Some((revision, reply)) = compact {
                // A caller that has gone away does not want to know.
                let _ = reply.send(self.compact(revision));
            }
        }
    }

    /// Commits the transactions that are waiting, up to a compaction, which is returned.
    fn batch(&mut self, first: Request) -> Option<(Revision, oneshot::Sender<Result<(), Error>>)> {
        let mut rooms = Vec::new();
        let mut replies = Replies::new();
        let mut compact = None;
        let state = self.shared.state.read();
        let mut plan = Plan::new(&state);
        let mut next = Some(first);
        while let Some(request) = next {
            match request {
                Request::Txn { txn, reply, _room } => {
                    replies.push((reply, plan.txn(txn)));
                    rooms.push(_room);
                }
                Request::Compact { revision, reply } => {
                    compact = Some((revision, reply));
                    break;
                }
            }
            next = if replies.len() < BATCH_TXNS_MAX { self.requests.try_recv().ok() } else { None };
        }
        let events = plan.events;
        let compacted = state.compacted;
        drop(state);
        self.commit(events, compacted, replies);
        compact
    }

    fn commit(&mut self, events: Vec<Event>, compacted: Revision, replies: Replies) {
        let Some(last) = events.last() else { return answer(replies) };
        let commit = Commit { events: &events, revision: last.revision, compacted };
        match self.write(commit) {
            Ok(()) => {
                self.publish(|state| state.apply(events));
                answer(replies);
            }
            Err(cause) => refuse(replies, &cause),
        }
    }

    fn compact(&mut self, requested: Revision) -> Result<(), Error> {
        let (revision, compacted) = {
            let state = self.shared.state.read();
            (state.revision, state.compacted)
        };
        if requested <= compacted {
            return Err(Error::Compacted { requested, compacted });
        }
        if requested > revision {
            return Err(Error::FutureRevision { requested, current: revision });
        }
        let commit = Commit { events: &[], revision, compacted: requested };
        self.write(commit).map_err(|cause| Error::Disk { cause })?;
        self.publish(|state| state.compact(requested));
        Ok(())
    }

    fn write(&mut self, commit: Commit<'_>) -> Result<(), Cause> {
        if self.log.wants_recovery() {
            let revision = self.shared.state.read().revision;
            self.log.recover(|| self.shared.state.read().snapshot(), revision);
        }
        self.log.commit(commit)
    }

    /// Lets readers and watchers see what has become durable.
    fn publish(&mut self, change: impl FnOnce(&mut State) -> Vec<Unreachable>) {
        let mut state = self.shared.state.write();
        let unreachable = change(&mut state);
        let marked = state.watchers.take_marked();
        drop(state);
        marked.wake();
        self.log.forget(unreachable);
    }
}

/// However the thread ends, watchers learn that nothing more will come.
impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = self.shared.state.write();
        state.closed = true;
        let everybody = state.watchers.all();
        drop(state);
        everybody.wake();
    }
}

fn answer(replies: Replies) {
    for (reply, outcome) in replies {
        let _ = reply.send(Ok(outcome));
    }
}

fn refuse(replies: Replies, cause: &Cause) {
    for (reply, _) in replies {
        let _ = reply.send(Err(Error::Disk { cause: Arc::clone(cause) }));
    }
}
