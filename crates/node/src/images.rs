//! The images that a machine has: pulled once, kept under their digest, shared by all nodes of a process.

mod road;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use coracle_oci::{ContentStore, Digest, Reference, Transport, fetch, resolve};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tracing::warn;

pub use road::OwnRegistry;

/// A wasm binary larger than this is not loaded.
pub const BINARY_BYTES_MAX: u64 = 512 << 20;
const NAMES: &str = "names.json";

/// Why an image is not here.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Pull(Arc<coracle_oci::Error>),
    #[error(
        "registry {registry} is not this cluster's: push the image here (coracle push FILE NAME:TAG) and name it \
         without a registry"
    )]
    Foreign { registry: String },
}

impl From<coracle_oci::Error> for Error {
    fn from(error: coracle_oci::Error) -> Self {
        Self::Pull(Arc::new(error))
    }
}

/// An image that is here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Present {
    /// The name that means exactly this image.
    pub id: String,
    /// The digest of the wasm binary.
    pub layer: String,
    pub size: u64,
}

/// The images of a machine.
pub struct Images {
    content: ContentStore,
    names_path: PathBuf,
    names: Mutex<HashMap<String, Present>>,
    flights: Mutex<HashMap<String, Arc<Flight>>>,
}

type Flight = tokio::sync::Mutex<Option<(Instant, Result<Present, Error>)>>;

impl Images {
    /// Opens the images kept in `dir`.
    pub fn open(dir: &Path) -> Result<Self, coracle_oci::Error> {
        let content = ContentStore::open(dir)?;
        let names_path = dir.join(NAMES);
        // Names are only a shortcut: without them images are resolved again.
        let names = std::fs::read(&names_path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        Ok(Self { content, names_path, names: Mutex::new(names.unwrap_or_default()), flights: Mutex::default() })
    }

    /// The image of this name, if it was pulled before.
    pub async fn find(&self, reference: &Reference) -> Option<Present> {
        let present = self.names.lock().get(&reference.to_string()).cloned()?;
        let digest: Digest = present.layer.parse().ok()?;
        matches!(self.content.size(&digest).await, Ok(Some(_))).then_some(present)
    }

    /// Asks the registry what the name means now, and fetches what is missing. Many may ask at a time: one pulls.
    pub async fn pull(&self, road: &dyn Transport, reference: &Reference) -> Result<Present, Error> {
        if let Some(registry) = &reference.registry {
            return Err(Error::Foreign { registry: registry.clone() });
        }
        let asked = Instant::now();
        let name = reference.to_string();
        let flight = self.flights.lock().entry(name.clone()).or_default().clone();
        let mut landed = flight.lock().await;
        let outcome = match &*landed {
            Some((at, outcome)) if *at >= asked => outcome.clone(),
            Some(_) | None => {
                let outcome = self.pull_alone(road, reference).await;
                *landed = Some((Instant::now(), outcome.clone()));
                outcome
            }
        };
        drop(landed);
        let mut flights = self.flights.lock();
        // The map's and ours: nobody else waits for this flight.
        if Arc::strong_count(&flight) <= 2 {
            flights.remove(&name);
        }
        outcome
    }

    async fn pull_alone(&self, road: &dyn Transport, reference: &Reference) -> Result<Present, Error> {
        let image = resolve(road, reference).await?;
        if image.layer.size > BINARY_BYTES_MAX {
            let too_large = coracle_oci::Error::TooLarge { what: reference.to_string(), bytes_max: BINARY_BYTES_MAX };
            return Err(too_large.into());
        }
        fetch(road, &image, &self.content).await?;
        let present = Present {
            id: reference.pinned(image.digest).to_string(),
            layer: image.layer.digest.to_string(),
            size: image.layer.size,
        };
        self.remember(reference, present.clone()).await;
        Ok(present)
    }

    async fn remember(&self, reference: &Reference, present: Present) {
        let names = {
            let mut names = self.names.lock();
            if names.insert(reference.to_string(), present.clone()).as_ref() == Some(&present) {
                return;
            }
            serde_json::to_vec(&*names).expect("strings and numbers are JSON")
        };
        let path = self.names_path.clone();
        let next = path.with_extension(format!("{}.tmp", hex::encode(rand::random::<[u8; 4]>())));
        let write = move || std::fs::write(&next, names).and_then(|()| std::fs::rename(&next, path));
        let written = tokio::task::spawn_blocking(write).await.expect("writing names does not panic");
        if let Err(error) = written {
            warn!(error = &error as &dyn std::error::Error, "image names not kept");
        }
    }

    /// Forgets what a name means, so that it is resolved again: its image turned out to be of no use.
    pub fn forget(&self, reference: &Reference) {
        self.names.lock().remove(&reference.to_string());
    }

    /// The binary of an image that is here.
    pub async fn read(&self, present: &Present) -> std::io::Result<Bytes> {
        let digest: Digest = present.layer.parse().map_err(std::io::Error::other)?;
        self.content.read(&digest, BINARY_BYTES_MAX).await.map_err(std::io::Error::other)
    }
}

#[cfg(test)]
mod tests;
