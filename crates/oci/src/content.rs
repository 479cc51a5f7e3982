//! Bytes under their digest in a directory. A file is under a digest only once it is complete, verified and durable.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::io::AsyncReadExt;
use uuid::Uuid;

use crate::digest::Hasher;
use crate::durable::{self, blocking};
use crate::{Body, Digest, Error};

/// A writer gathers so much before it goes to the disk.
const WRITE_BYTES: usize = 256 << 10;
/// A reader takes so much at a time.
const READ_BYTES: usize = 64 << 10;

/// Blobs in a directory of their own. Cloning gives another handle.
#[derive(Clone, Debug)]
pub struct ContentStore {
    blobs: Arc<Path>,
    uploads: Arc<Path>,
}

impl ContentStore {
    /// Opens the store in `dir`, made when it is missing, and removes what a crash left unfinished. It blocks.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let (blobs, uploads) = (dir.join("blobs/sha256"), dir.join("uploads"));
        if uploads.exists() {
            fs::remove_dir_all(&uploads).map_err(Error::io("remove unfinished uploads", &uploads))?;
        }
        durable::create_dir(&blobs)?;
        durable::create_dir(&uploads)?;
        Ok(Self { blobs: blobs.into(), uploads: uploads.into() })
    }

    /// Where the blob is, if it is there.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(digest.hex())
    }

    /// Its size; `None` when it is not there.
    pub async fn size(&self, digest: &Digest) -> Result<Option<u64>, Error> {
        let path = self.path(digest);
        match tokio::fs::metadata(&path).await {
            Ok(metadata) => Ok(Some(metadata.len())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("look at", &path)(error)),
        }
    }

    /// Opens it for reading; `None` when it is not there.
    pub async fn get(&self, digest: &Digest) -> Result<Option<Blob>, Error> {
        let path = self.path(digest);
        let file = match tokio::fs::File::open(&path).await {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io("open", &path)(error)),
        };
        let size = file.metadata().await.map_err(Error::io("look at", &path))?.len();
        Ok(Some(Blob { file, size, path }))
    }

    /// All of it, verified, unless it is larger than `bytes_max`.
    pub async fn read(&self, digest: &Digest, bytes_max: u64) -> Result<Bytes, Error> {
        let blob = self.get(digest).await?.ok_or(Error::Missing { what: *digest })?;
        if blob.size > bytes_max {
            return Err(Error::TooLarge { what: digest.to_string(), bytes_max });
        }
        let bytes = blob.bytes().await?;
        let (bytes, actual) = blocking(move || {
            let actual = Digest::of(&bytes);
            (bytes, actual)
        })
        .await;
        if actual == *digest { Ok(bytes) } else { Err(Error::DigestMismatch { expected: *digest, actual }) }
    }

    /// Begins a blob whose digest may not be known yet.
    pub async fn writer(&self) -> Result<Writer, Error> {
        let path = self.uploads.join(Uuid::new_v4().to_string());
        let file = blocking({
            let path = path.clone();
            move || File::create_new(&path).map_err(Error::io("create", &path))
        });
        let file = Arc::new(file.await?);
        let hasher = Hasher::default();
        Ok(Writer {
            store: self.clone(),
            unfinished: Unfinished(path),
            file,
            hasher,
            n_written: 0,
            buffer: BytesMut::new(),
        })
    }

    /// Stores `bytes` and returns their digest.
    pub async fn put(&self, bytes: Bytes) -> Result<Digest, Error> {
        let mut writer = self.writer().await?;
        writer.write(bytes).await?;
        writer.finish(None).await
    }

    /// Removes it. False when it was not there.
    pub async fn remove(&self, digest: &Digest) -> Result<bool, Error> {
        let (blobs, name) = (Arc::clone(&self.blobs), digest.hex());
        blocking(move || durable::remove(&blobs, &name)).await
    }

    /// Every digest that it holds. It blocks.
    pub fn digests(&self) -> Result<Vec<Digest>, Error> {
        Ok(durable::names(&self.blobs)?.iter().filter_map(|name| Digest::from_hex(name)).collect())
    }

    /// Removes every blob that `keep` does not want. It blocks.
    pub fn retain(&self, keep: impl Fn(&Digest) -> bool) -> Result<(), Error> {
        for digest in self.digests()?.iter().filter(|digest| !keep(digest)) {
            durable::remove(&self.blobs, &digest.hex())?;
        }
        Ok(())
    }
}

/// A stored blob, open for reading. It stays readable when it is removed meanwhile.
#[derive(Debug)]
pub struct Blob {
    file: tokio::fs::File,
    size: u64,
    path: PathBuf,
}

impl Blob {
    pub fn size(&self) -> u64 {
        self.size
    }

    /// All of it in memory.
    pub async fn bytes(mut self) -> Result<Bytes, Error> {
        let mut bytes = Vec::with_capacity(usize::try_from(self.size).unwrap_or(0));
        self.file.read_to_end(&mut bytes).await.map_err(Error::io("read", &self.path))?;
        Ok(bytes.into())
    }

    /// The `len` bytes from `start` on, a piece at a time.
    pub(crate) async fn into_body(mut self, start: u64, len: u64) -> Result<Body, Error> {
        if start > 0 {
            use tokio::io::AsyncSeekExt;
            self.file.seek(std::io::SeekFrom::Start(start)).await.map_err(Error::io("seek in", &self.path))?;
        }
        let stream = tokio_util::io::ReaderStream::with_capacity(self.file.take(len), READ_BYTES);
        let frames = futures::TryStreamExt::map_ok(stream, http_body::Frame::data);
        let body = http_body_util::StreamBody::new(frames);
        Ok(body.map_err(Into::into).boxed_unsync())
    }
}

/// A file that is removed unless it became a blob.
#[derive(Debug)]
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After it has been renamed there is nothing to remove; what else fails is removed at the next start.
        let _ = fs::remove_file(&self.0);
    }
}

/// A blob on its way in. Dropping it removes it.
#[derive(Debug)]
pub struct Writer {
    store: ContentStore,
    unfinished: Unfinished,
    file: Arc<File>,
    hasher: Hasher,
    n_written: u64,
    buffer: BytesMut,
}

impl Writer {
    /// How many bytes it has taken. After a [`Writer::write`] was cancelled or failed, those it has kept.
    pub fn len(&self) -> u64 {
        self.n_written + self.buffer.len() as u64
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Appends `bytes`.
    pub async fn write(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        while !bytes.is_empty() {
            let piece = bytes.split_to(bytes.len().min(WRITE_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(&piece);
            if self.buffer.len() == WRITE_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// Gives what was gathered to the disk. When it is cancelled, that is forgotten, and later bytes take its place.
    async fn flush(&mut self) -> Result<(), Error> {
        let piece = self.buffer.split().freeze();
        let (file, offset, mut hasher) = (Arc::clone(&self.file), self.n_written, self.hasher.clone());
        let path = self.unfinished.0.clone();
        let n_bytes = piece.len() as u64;
        self.hasher = blocking(move || {
            file.write_all_at(&piece, offset).map_err(Error::io("write", &path))?;
            hasher.update(&piece);
            Ok(hasher)
        })
        .await?;
        self.n_written += n_bytes;
        Ok(())
    }

    /// Makes it a blob, durably, if it has the digest that was expected.
    pub async fn finish(mut self, expected: Option<&Digest>) -> Result<Digest, Error> {
        self.flush().await?;
        let actual = self.hasher.clone().finish();
        if let Some(expected) = expected.filter(|expected| **expected != actual) {
            return Err(Error::DigestMismatch { expected: *expected, actual });
        }
        let target = self.store.path(&actual);
        blocking(move || {
            let path = &self.unfinished.0;
            // A write that was cancelled may have left bytes behind the end.
            self.file.set_len(self.n_written).map_err(Error::io("truncate", path))?;
            self.file.sync_all().map_err(Error::io("sync", path))?;
            fs::rename(path, &target).map_err(Error::io("rename", path))?;
            durable::sync_dir(&self.store.blobs)
        })
        .await?;
        Ok(actual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_in_pieces_is_found_under_its_digest() {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(dir.path()).unwrap();
        let content: Vec<u8> = (0..700_000u32).map(|n| n as u8).collect();
        let mut writer = store.writer().await.unwrap();
        for piece in content.chunks(99_999) {
            writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
        }
        assert_eq!(writer.len(), 700_000);
        let digest = writer.finish(Some(&Digest::of(&content))).await.unwrap();
        assert_eq!(store.size(&digest).await.unwrap(), Some(700_000));
        assert_eq!(store.read(&digest, 700_000).await.unwrap(), content);
        let refused = store.read(&digest, 699_999).await;
        assert!(matches!(refused, Err(Error::TooLarge { .. })), "{refused:?}");
        let body = store.get(&digest).await.unwrap().unwrap().into_body(99, 70_001).await.unwrap();
        assert_eq!(body.collect().await.unwrap().to_bytes(), content[99..70_100]);
    }

    #[tokio::test]
    async fn nothing_stays_of_what_was_not_finished() {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(dir.path()).unwrap();
        let mut writer = store.writer().await.unwrap();
        writer.write("other".into()).await.unwrap();
        let refused = writer.finish(Some(&Digest::of(b"this"))).await;
        assert!(matches!(refused, Err(Error::DigestMismatch { .. })), "{refused:?}");
        drop(store.writer().await.unwrap());
        assert_eq!(durable::names(&dir.path().join("uploads")).unwrap().len(), 0);

        std::mem::forget(store.writer().await.unwrap());
        assert_eq!(durable::names(&dir.path().join("uploads")).unwrap().len(), 1);
        let store = ContentStore::open(dir.path()).unwrap();
        assert_eq!(durable::names(&dir.path().join("uploads")).unwrap().len(), 0);
        assert_eq!(store.digests().unwrap(), []);
    }

    #[tokio::test]
    async fn damaged_content_is_not_handed_out() {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(dir.path()).unwrap();
        let digest = store.put("content".into()).await.unwrap();
        std::fs::write(store.path(&digest), "damaged").unwrap();
        let refused = store.read(&digest, 100).await;
        assert!(matches!(refused, Err(Error::DigestMismatch { .. })), "{refused:?}");
        assert!(store.remove(&digest).await.unwrap());
        assert!(!store.remove(&digest).await.unwrap());
        assert!(matches!(store.read(&digest, 100).await, Err(Error::Missing { .. })));
    }

    #[tokio::test]
    async fn a_cancelled_write_can_be_repeated() {
        let dir = tempfile::tempdir().unwrap();
        let store = ContentStore::open(dir.path()).unwrap();
        let mut writer = store.writer().await.unwrap();
        let content = Bytes::from(vec![7; 3 * WRITE_BYTES / 2]);
        drop(futures::FutureExt::now_or_never(writer.write(content.clone())));
        let kept = usize::try_from(writer.len()).unwrap();
        writer.write(content.slice(kept..)).await.unwrap();
        writer.finish(Some(&Digest::of(&content))).await.unwrap();
    }
}
