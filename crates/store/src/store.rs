//! The handle that callers hold. It never touches the disk itself: writes go to the writer, reads to memory.

use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::RwLock;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::log::Log;
use crate::medium::{Directory, Medium, Memory};
use crate::state::State;
use crate::writer::{self, Request};
use crate::{Error, KeyValue, List, ListOptions, Op, Options, Revision, Txn, TxnOutcome, Watch, plan};

/// A store. Cloning gives another handle on the same one; it is closed when the last handle is dropped.
///
/// Every method may be called from any runtime. Reads answer without waiting; they are `async` so that an engine on
/// another machine can stand behind the same handle.
#[derive(Clone, Debug)]
pub struct Store {
    engine: Arc<Engine>,
}

/// The embedded engine: memory, the writer's queue and the writer's thread.
#[derive(Debug)]
struct Engine {
    shared: Arc<Shared>,
    /// `None` only while it is being dropped.
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
    /// One permit for each byte that may wait for the writer.
    room: Arc<Semaphore>,
    options: Options,
}

/// What readers, watchers and the writer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) state: RwLock<State>,
}

impl Store {
    /// Opens the store in the directory that `options` name. It reads the whole file, and so blocks.
    pub fn open(options: Options) -> Result<Self, Error> {
        let directory = Directory::lock(&options.dir)?;
        Self::over(Box::new(directory), options)
    }

    /// A store that forgets everything when it is closed. The same engine in every other respect.
    pub fn memory() -> Self {
        Self::over(Box::new(Memory), Options::new("")).expect("memory does not fail")
    }

    pub(crate) fn over(medium: Box<dyn Medium>, options: Options) -> Result<Self, Error> {
        let (log, state) = Log::open(medium, &options)?;
        let shared = Arc::new(Shared { state: RwLock::new(state) });
        let (requests, waiting) = mpsc::channel(options.queue_txns_max);
        let writer = writer::spawn(log, Arc::clone(&shared), waiting)
            .map_err(|error| Error::Open { path: options.dir.clone(), cause: error.to_string().into() })?;
        let room = Arc::new(Semaphore::new(options.queue_bytes_max.max(options.txn_bytes_max)));
        let engine = Engine { shared, requests: Some(requests), writer: Some(writer), room, options };
        Ok(Self { engine: Arc::new(engine) })
    }

    /// The newest value of `key`, and the revision at which it was read.
    pub async fn get(&self, key: &str) -> Result<(Revision, Option<KeyValue>), Error> {
        let state = self.engine.shared.state.read();
        Ok((state.revision, state.get(key).cloned()))
    }

    /// The keys that start with `prefix`, in order.
    pub async fn list(&self, prefix: &str, options: ListOptions) -> Result<List, Error> {
        self.engine.shared.state.read().list(prefix, &options)
    }

    /// Does all that `txn` says, or nothing, and returns once that is durable.
    ///
    /// It waits while the queue is full. When the future is dropped before it is done, the transaction happens or not.
    pub async fn txn(&self, mut txn: Txn) -> Result<TxnOutcome, Error> {
        let n_bytes = plan::check(&txn, self.engine.options.txn_bytes_max)?;
        let n_permits = u32::try_from(n_bytes).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.engine.room).acquire_many_owned(n_permits).await.map_err(|_| Error::Closed)?;
        own_values(&mut txn);
        self.request(|reply| Request::Txn { txn, reply, _room: room }).await
    }

    /// The events of the keys that start with `prefix`, those with a revision after `from`.
    pub async fn watch(&self, prefix: &str, from: Revision) -> Result<Watch, Error> {
        Watch::new(&self.engine.shared, prefix, from)
    }

    /// Forgets the past before `revision`, which must lie after what is compacted already and not in the future.
    pub async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.request(|reply| Request::Compact { revision, reply }).await
    }

    /// The newest revision.
    pub fn revision(&self) -> Revision {
        self.engine.shared.state.read().revision
    }

    /// The oldest revision that can be read.
    pub fn compacted(&self) -> Revision {
        self.engine.shared.state.read().compacted
    }

    async fn request<T>(&self, request: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Request) -> Result<T, Error> {
        let (reply, answered) = oneshot::channel();
        let requests = self.engine.requests.as_ref().ok_or(Error::Closed)?;
        requests.send(request(reply)).await.map_err(|_| Error::Closed)?;
        answered.await.map_err(|_| Error::Closed)?
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.requests = None;
        // A panic of the writer has been printed where it happened, and has closed the store.
        let _ = self.writer.take().map(JoinHandle::join);
    }
}

/// Gives each value an allocation of exactly its size: the caller's may be a slice of a large buffer, or half empty.
fn own_values(txn: &mut Txn) {
    for op in &mut txn.success {
        if let Op::Put { value, .. } = op {
            *value = Bytes::copy_from_slice(value);
        }
    }
}
