//! The pods of a node, for whoever asks the node about them: logs, metrics, the list itself.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use coracle_client::Key;
use coracle_runtime::{Container, Pipe};
use k8s_openapi::api::core::v1 as core;
use parking_lot::{Mutex, RwLock};

use super::message::Place;
use super::rate::Rate;
use crate::attached::Attached;
use crate::lifecycle::State;
use crate::logs::ContainerLog;

/// The pods that have a worker, by name.
#[derive(Default)]
pub(crate) struct Pods(RwLock<HashMap<Key, Arc<Handle>>>);

/// One pod, seen from outside its worker.
pub(crate) struct Handle {
    pub(crate) key: Key,
    pub(crate) uid: String,
    pub(crate) dir: PathBuf,
    pub(crate) state: Mutex<State>,
    pub(crate) pod: Mutex<Arc<core::Pod>>,
    pub(crate) status: Mutex<Option<core::PodStatus>>,
    /// What runs, by the container's index.
    pub(crate) running: Mutex<HashMap<usize, Running>>,
}

/// An instance of a container.
#[derive(Clone)]
pub(crate) struct Running {
    pub(crate) attempt: u32,
    pub(crate) container: Arc<Container>,
    pub(crate) log: Arc<ContainerLog>,
    pub(crate) attached: Arc<Attached>,
    /// Where clients write what the container reads.
    pub(crate) stdin: Option<Arc<Pipe>>,
    /// The first client's end is the end of the input.
    pub(crate) stdin_once: bool,
    pub(crate) tty: bool,
    pub(crate) rate: Arc<Rate>,
    /// Where it may say why it ends.
    pub(crate) message: Option<Place>,
}

impl Pods {
    pub(crate) fn get(&self, namespace: &str, name: &str) -> Option<Arc<Handle>> {
        self.0.read().get(&Key::new(namespace, name)).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Handle>> {
        self.0.read().values().cloned().collect()
    }

    /// Pods that take up room: all but those that have ended.
    fn n_active(&self) -> usize {
        self.0.read().values().filter(|handle| !handle.state.lock().is_finished()).count()
    }

    /// `None` when there is room for one more beside `max - 1` others; else how many there are.
    pub(super) fn crowd(&self, max: usize) -> Option<usize> {
        // The pods are looked at one by one only when there could be too many.
        let may_be_full = self.0.read().len() >= max;
        may_be_full.then(|| self.n_active()).filter(|n_active| *n_active >= max)
    }

    pub(super) fn insert(&self, handle: Arc<Handle>) {
        self.0.write().insert(handle.key.clone(), handle);
    }

    /// Forgets a pod, unless another has taken its name.
    pub(super) fn remove(&self, handle: &Handle) {
        let mut pods = self.0.write();
        if pods.get(&handle.key).is_some_and(|known| known.uid == handle.uid) {
            pods.remove(&handle.key);
        }
    }
}

impl Handle {
    /// Where the core dump of one of the pod's containers is, if it left one.
    pub(crate) fn coredump(&self, container: &str) -> PathBuf {
        self.dir.join("cores").join(container).with_extension("wasm")
    }

    /// Where the logs of one of the pod's containers are.
    pub(crate) fn log_dir(&self, container: &str) -> PathBuf {
        self.dir.join("logs").join(container)
    }
}
