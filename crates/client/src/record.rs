//! What an informer keeps on disk, so that a restart goes on without the API server. It never decides when.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;
use tracing::warn;

use crate::Cached;

/// How long the API server may take before the record is believed.
pub(crate) const RECALL_AFTER: Duration = Duration::from_secs(5);
/// Between two writes of a record there is this time at least,
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// and this many times as long as the last one took.
const PAUSE_PER_WRITE: u32 = 20;

type Encode<K> = fn(&[Arc<K>]) -> serde_json::Result<Vec<u8>>;

/// A private file that holds all objects of a cache, replaced whole.
pub(crate) struct Record<K> {
    path: PathBuf,
    encode: Encode<K>,
}

impl<K> Clone for Record<K> {
    fn clone(&self) -> Self {
        Self { path: self.path.clone(), encode: self.encode }
    }
}

impl<K: Cached> Record<K> {
    pub(crate) fn new(path: PathBuf) -> Self
    where
        K: Serialize,
    {
        Self {
            path,
            encode: |objects| serde_json::to_vec(&objects.iter().map(|object| &**object).collect::<Vec<&K>>()),
        }
    }

    /// What was kept, if anything.
    pub(crate) async fn read(&self) -> Option<Vec<K>> {
        let path = self.path.clone();
        let read = move || match std::fs::read(&path) {
            Ok(bytes) => decode(&bytes, &path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
            Err(error) => {
                warn!(path = %path.display(), error = &error as &dyn std::error::Error, "record not read");
                None
            }
        };
        tokio::task::spawn_blocking(read).await.expect("reading a record does not panic")
    }

    /// Keeps `objects`, and says how long to wait before the next time.
    pub(crate) async fn write(&self, objects: Vec<Arc<K>>) -> Duration {
        let record = self.clone();
        let write = move || {
            let began = Instant::now();
            record.try_write(&objects);
            PAUSE_MIN.max(began.elapsed() * PAUSE_PER_WRITE)
        };
        tokio::task::spawn_blocking(write).await.expect("writing a record does not panic")
    }

    fn try_write(&self, objects: &[Arc<K>]) {
        let bytes = (self.encode)(objects).expect("objects are JSON");
        if let Err(error) = coracle_pki::write_private(&self.path, &bytes) {
            warn!(path = %self.path.display(), error = &error as &dyn std::error::Error, "record not written");
        }
    }
}

fn decode<K: Cached>(bytes: &[u8], path: &Path) -> Option<Vec<K>> {
    serde_json::from_slice(bytes)
        .inspect_err(
            |error| warn!(path = %path.display(), error = error as &dyn std::error::Error, "record not understood"),
        )
        .ok()
}
