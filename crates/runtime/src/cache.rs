//! Compiled code on disk, by the image's digest and the engine's fingerprint. An entry's name is the hash of its
//! content: what a crash or a disk left half done is never mapped, and is compiled again.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};
use tracing::warn;
use wasmtime::Engine;

use crate::mapped::{self, Compiled};

const EXTENSION: &str = "cwasm";

/// A directory of compiled code that fits one engine.
pub(crate) struct Cache {
    dir: PathBuf,
    n_written: AtomicU64,
}

impl Cache {
    /// Prepares `dir`. Entries of other engines stay, for a downgrade.
    pub(crate) fn open(dir: &Path, engine: &Engine) -> io::Result<Self> {
        let dir = dir.join(fingerprint(engine));
        fs::create_dir_all(&dir)?;
        Ok(Self { dir, n_written: AtomicU64::new(0) })
    }

    /// The entry of `digest` and its file, if there is a sound one.
    pub(crate) fn get(&self, engine: &Engine, digest: &str) -> Option<(Compiled, PathBuf)> {
        for entry in fs::read_dir(self.entry_dir(digest)).ok()?.flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != EXTENSION) {
                continue;
            }
            match verify(&path).and_then(|()| mapped::map(engine, &path).map_err(io::Error::other)) {
                Ok(compiled) => return Some((compiled, path)),
                Err(error) => {
                    warn!(digest, %error, "dropped a broken entry of the compile cache");
                    let _ = fs::remove_file(&path);
                }
            }
        }
        None
    }

    /// Begins an entry of `digest`.
    pub(crate) fn begin(&self, digest: &str) -> io::Result<Unfinished> {
        let dir = self.entry_dir(digest);
        fs::create_dir_all(&dir)?;
        let n_written = self.n_written.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!("{}-{n_written}.tmp", std::process::id()));
        Ok(Unfinished { file: Arc::new(fs::File::create(&path)?), path })
    }

    fn entry_dir(&self, digest: &str) -> PathBuf {
        // A digest is somebody else's text: hashed, it is a file name whatever it was.
        self.dir.join(hash(digest.as_bytes()))
    }
}

/// An entry that is being written. Dropped before it is complete, it is as if it had never been.
pub(crate) struct Unfinished {
    file: Arc<fs::File>,
    path: PathBuf,
}

impl Unfinished {
    /// Where the code is written to.
    pub(crate) fn file(&self) -> Arc<fs::File> {
        Arc::clone(&self.file)
    }

    /// Keeps what has been written, and maps it. Nobody may write any more.
    pub(crate) fn finish(self, engine: &Engine) -> io::Result<(Compiled, PathBuf)> {
        let name = hash(&fs::read(&self.path)?);
        let path = self.path.with_file_name(name).with_extension(EXTENSION);
        fs::rename(&self.path, &path)?;
        Ok((mapped::map(engine, &path).map_err(io::Error::other)?, path))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // What is complete has another name.
        let _ = fs::remove_file(&self.path);
    }
}

fn hash(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

fn verify(path: &Path) -> io::Result<()> {
    let code = fs::read(path)?;
    match path.file_stem() {
        Some(name) if name.as_encoded_bytes() == hash(&code).as_bytes() => Ok(()),
        Some(_) | None => Err(io::Error::new(io::ErrorKind::InvalidData, "its content is not what was written")),
    }
}

fn fingerprint(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}
