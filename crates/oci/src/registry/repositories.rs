//! Which contents belong to which repository: links in a tree of small files, beside the contents themselves.
//!
//! A repository `a/b` is the directory `a/b` with `_blobs/<hex>`, `_manifests/<hex>` (whose content is the media type),
//! `_tags/<tag>` (whose content is a digest) and `_referrers/<hex of the subject>/<hex>`. No part of a repository's name
//! begins with an underscore. Everything here blocks.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::{Digest, Error, durable};

const BLOBS: &str = "_blobs";
const MANIFESTS: &str = "_manifests";
const TAGS: &str = "_tags";
const REFERRERS: &str = "_referrers";

/// The links of all repositories. Cloning gives another handle.
#[derive(Clone, Debug)]
pub(super) struct Repositories {
    dir: Arc<Path>,
    /// Held while links change, so that a content is not taken for unused just before it is linked.
    changes: Arc<Mutex<()>>,
}

/// A manifest to be linked.
#[derive(Clone, Debug)]
pub(super) struct ManifestLink {
    pub(super) digest: Digest,
    pub(super) media_type: String,
    pub(super) tag: Option<String>,
    pub(super) subject: Option<Digest>,
}

impl Repositories {
    pub(super) fn open(dir: &Path) -> Result<Self, Error> {
        durable::create_dir(dir)?;
        let repositories = Self { dir: dir.into(), changes: Arc::default() };
        for name in repositories.names()? {
            for part in [BLOBS, MANIFESTS, TAGS] {
                let part = repositories.part(&name, part);
                if part.exists() {
                    durable::sweep(&part)?;
                }
            }
        }
        Ok(repositories)
    }

    fn part(&self, name: &str, part: &str) -> PathBuf {
        self.dir.join(name).join(part)
    }

    pub(super) fn exists(&self, name: &str) -> bool {
        self.part(name, BLOBS).exists() || self.part(name, MANIFESTS).exists()
    }

    pub(super) fn has_blob(&self, name: &str, digest: &Digest) -> bool {
        self.part(name, BLOBS).join(digest.hex()).exists()
    }

    /// Links a blob if it `is_stored`. False when it was removed meanwhile, because nobody had it yet.
    pub(super) fn link_blob(
        &self,
        name: &str,
        digest: &Digest,
        is_stored: impl FnOnce() -> bool,
    ) -> Result<bool, Error> {
        let _changing = self.changes.lock();
        if !is_stored() {
            return Ok(false);
        }
        durable::write(&self.part(name, BLOBS), &digest.hex(), b"").map(|()| true)
    }

    /// Unlinks a blob, and calls `unused` when no other repository has it. False when it was not linked.
    pub(super) fn unlink_blob(
        &self,
        name: &str,
        digest: &Digest,
        unused: impl FnOnce() -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let _changing = self.changes.lock();
        let was_linked = durable::remove(&self.part(name, BLOBS), &digest.hex())?;
        self.if_unused(digest, unused)?;
        Ok(was_linked)
    }

    /// Calls `unused` when no repository has the content, which was stored and then not wanted.
    pub(super) fn discard(&self, digest: &Digest, unused: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let _changing = self.changes.lock();
        self.if_unused(digest, unused)
    }

    fn if_unused(&self, digest: &Digest, unused: impl FnOnce() -> Result<(), Error>) -> Result<(), Error> {
        let is_used = self
            .names()?
            .iter()
            .any(|name| self.has_blob(name, digest) || self.part(name, MANIFESTS).join(digest.hex()).exists());
        if is_used { Ok(()) } else { unused() }
    }

    /// The media type of a manifest that the repository has.
    pub(super) fn media_type(&self, name: &str, digest: &Digest) -> Result<Option<String>, Error> {
        durable::read(&self.part(name, MANIFESTS).join(digest.hex()))
    }

    /// Links a manifest if it `is_stored`, its tag last: whoever sees the tag can read the manifest.
    pub(super) fn link_manifest(
        &self,
        name: &str,
        link: &ManifestLink,
        is_stored: impl FnOnce() -> bool,
    ) -> Result<bool, Error> {
        let _changing = self.changes.lock();
        if !is_stored() {
            return Ok(false);
        }
        let hex = link.digest.hex();
        if let Some(subject) = &link.subject {
            durable::write(&self.part(name, REFERRERS).join(subject.hex()), &hex, b"")?;
        }
        durable::write(&self.part(name, MANIFESTS), &hex, link.media_type.as_bytes())?;
        if let Some(tag) = &link.tag {
            durable::write(&self.part(name, TAGS), tag, link.digest.to_string().as_bytes())?;
        }
        Ok(true)
    }

    /// Unlinks a manifest with the tags that name it, and calls `unused` when no other repository has it.
    pub(super) fn unlink_manifest(
        &self,
        name: &str,
        digest: &Digest,
        subject: Option<&Digest>,
        unused: impl FnOnce() -> Result<(), Error>,
    ) -> Result<bool, Error> {
        let _changing = self.changes.lock();
        for tag in self.tags(name)? {
            if self.tag(name, &tag)?.as_ref() == Some(digest) {
                durable::remove(&self.part(name, TAGS), &tag)?;
            }
        }
        let was_linked = durable::remove(&self.part(name, MANIFESTS), &digest.hex())?;
        if let Some(subject) = subject {
            durable::remove(&self.part(name, REFERRERS).join(subject.hex()), &digest.hex())?;
        }
        self.if_unused(digest, unused)?;
        Ok(was_linked)
    }

    /// The digest that a tag names.
    pub(super) fn tag(&self, name: &str, tag: &str) -> Result<Option<Digest>, Error> {
        durable::read(&self.part(name, TAGS).join(tag))?.map(|digest| digest.parse()).transpose()
    }

    pub(super) fn remove_tag(&self, name: &str, tag: &str) -> Result<bool, Error> {
        let _changing = self.changes.lock();
        durable::remove(&self.part(name, TAGS), tag)
    }

    /// The tags of a repository, in order.
    pub(super) fn tags(&self, name: &str) -> Result<Vec<String>, Error> {
        durable::names(&self.part(name, TAGS))
    }

    /// The manifests that are about `subject`.
    pub(super) fn referrers(&self, name: &str, subject: &Digest) -> Result<Vec<Digest>, Error> {
        let names = durable::names(&self.part(name, REFERRERS).join(subject.hex()))?;
        Ok(names.iter().filter_map(|hex| Digest::from_hex(hex)).collect())
    }

    /// The names of all repositories, in order.
    pub(super) fn names(&self) -> Result<Vec<String>, Error> {
        let mut found = Vec::new();
        let mut unseen = vec![String::new()];
        while let Some(parent) = unseen.pop() {
            for part in durable::names(&self.dir.join(&parent))? {
                if !part.starts_with('_') {
                    unseen.push(if parent.is_empty() { part } else { format!("{parent}/{part}") });
                }
            }
            if !parent.is_empty() && self.exists(&parent) {
                found.push(parent);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Every content that some repository has.
    pub(super) fn linked(&self) -> Result<HashSet<Digest>, Error> {
        let mut linked = HashSet::new();
        for name in self.names()? {
            for part in [BLOBS, MANIFESTS] {
                let names = durable::names(&self.part(&name, part))?;
                linked.extend(names.iter().filter_map(|hex| Digest::from_hex(hex)));
            }
        }
        Ok(linked)
    }
}
