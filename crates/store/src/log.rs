//! The log of changes in redb: every change under its revision, as in etcd, so that a commit appends. It keeps no
//! state in memory beyond what is still to be deleted.
//!
//! Commits are redb's one-phase commits: one fsync each. After a crash redb finds the newest commit whose pages all have
//! the right checksum, which reads the whole file once; loading reads it anyway. The two-phase commits that would spare
//! that reading (quick repair) cost a second fsync for every batch.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use redb::{Builder, Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};
use tracing::{info, warn};

use crate::Revision;
use crate::medium::{Backend, Medium};
use crate::model::REVISION_FIRST;
use crate::record::{self, Record};
use crate::state::{Snapshot, State, Unreachable, WindowMax};
use crate::{Error, Event, Options};

const LOG: TableDefinition<&[u8], &[u8]> = TableDefinition::new("log");
const META: TableDefinition<&str, u64> = TableDefinition::new("meta");
const META_FORMAT: &str = "format";
const META_REVISION: &str = "revision";
const META_COMPACTED: &str = "compacted";
const FORMAT: u64 = 1;

/// redb's page cache. Values are in memory already: it only has to hold the tree's upper pages and what a batch writes.
const CACHE_BYTES: usize = 8 << 20;

/// Why the log was not written.
pub(crate) type Cause = Arc<str>;

/// What one commit makes durable.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commit<'a> {
    pub(crate) events: &'a [Event],
    pub(crate) revision: Revision,
    pub(crate) compacted: Revision,
}

/// The log, open or waiting for its disk to come back.
#[derive(Debug)]
pub(crate) struct Log {
    medium: Box<dyn Medium>,
    file: Result<Database, Failed>,
    /// True once a sync of the file failed or the file was found damaged: it is to be replaced.
    distrusted: Arc<AtomicBool>,
    unreachable: VecDeque<Unreachable>,
    reclaim_min: usize,
    reopen_pause: Duration,
}

#[derive(Debug)]
struct Failed {
    cause: Cause,
    at: Instant,
}

impl Log {
    /// Opens the log and reads back the state it describes, or makes a new one.
    pub(crate) fn open(medium: Box<dyn Medium>, options: &Options) -> Result<(Self, State), Error> {
        let failed = |cause| Error::Open { path: options.dir.clone(), cause };
        let found = medium.open()?;
        let (opened, state, unreachable) = match found {
            None => {
                let state = State::new(options.into(), REVISION_FIRST);
                (create(&*medium, &state.snapshot()).map_err(failed)?, state, Vec::new())
            }
            Some(backend) => {
                let opened = Opened::new(backend).map_err(|error| failed(into_cause(error)))?;
                let loaded = load(&opened.file, options.into());
                let (state, unreachable) = loaded.map_err(|error| failed(into_cause(error)))?;
                (opened, state, unreachable)
            }
        };
        let (reclaim_min, reopen_pause) = (options.reclaim_min, options.reopen_pause);
        let Opened { file, distrusted } = opened;
        let unreachable = unreachable.into();
        Ok((Self { medium, file: Ok(file), distrusted, unreachable, reclaim_min, reopen_pause }, state))
    }

    /// Notes records to be deleted by the commits to come.
    pub(crate) fn forget(&mut self, unreachable: Vec<Unreachable>) {
        self.unreachable.extend(unreachable);
    }

    /// Writes what `commit` says and returns when it is on the disk. On an error nothing of it has happened.
    pub(crate) fn commit(&mut self, commit: Commit<'_>) -> Result<(), Cause> {
        let n_unreachable = self.portion(commit.events.len());
        let file = self.file.as_ref().map_err(|failed| Arc::clone(&failed.cause))?;
        match write(file, commit, self.unreachable.range(..n_unreachable)) {
            Ok(()) => {
                self.unreachable.drain(..n_unreachable);
                Ok(())
            }
            Err(error) => {
                warn!(%error, "write to the log failed");
                let cause: Cause = error.to_string().into();
                self.file = Err(Failed { cause: Arc::clone(&cause), at: Instant::now() });
                Err(cause)
            }
        }
    }

    /// How many records to delete beside `n_events` new ones: as many as they can make unreachable, and then in portions.
    fn portion(&self, n_events: usize) -> usize {
        let n_waiting = self.unreachable.len();
        if n_waiting < self.reclaim_min { 0 } else { n_waiting.min(self.reclaim_min.max(2 * n_events)) }
    }

    /// True when a commit failed and it is time to see whether the disk is back.
    pub(crate) fn wants_recovery(&self) -> bool {
        self.file.as_ref().is_err_and(|failed| failed.at.elapsed() >= self.reopen_pause)
    }

    /// Opens the file again and makes it say what memory says.
    pub(crate) fn recover(&mut self, snapshot: impl FnOnce() -> Snapshot, revision: Revision) {
        let recovered = if self.distrusted.load(Ordering::Relaxed) {
            create(&*self.medium, &snapshot()).inspect(|_| self.unreachable.clear())
        } else {
            self.reopen(revision)
        };
        match recovered {
            Ok(Opened { file, distrusted }) => {
                info!(revision, "log reopened");
                self.file = Ok(file);
                self.distrusted = distrusted;
            }
            Err(cause) => self.file = Err(Failed { cause, at: Instant::now() }),
        }
    }

    fn reopen(&self, revision: Revision) -> Result<Opened, Cause> {
        let found = self.medium.open().map_err(into_cause)?;
        let opened = found.map(Opened::new).transpose().map_err(|error| self.distrust_if_damaged(error))?;
        if let Some(opened) = opened
            && take_back(&opened.file, revision).map_err(|error| self.distrust_if_damaged(error))?
        {
            return Ok(opened);
        }
        self.distrusted.store(true, Ordering::Relaxed);
        Err("the file has lost what was written to it".into())
    }

    fn distrust_if_damaged(&self, error: redb::Error) -> Cause {
        if matches!(error, redb::Error::Corrupted(_)) {
            self.distrusted.store(true, Ordering::Relaxed);
        }
        into_cause(error)
    }
}

/// A database and the flag that a failed sync of it raises.
struct Opened {
    file: Database,
    distrusted: Arc<AtomicBool>,
}

impl Opened {
    fn new(backend: Backend) -> Result<Self, redb::Error> {
        let distrusted = backend.sync_failed();
        let file = Builder::new().set_cache_size(CACHE_BYTES).create_with_backend(backend)?;
        Ok(Self { file, distrusted })
    }
}

/// Writes a new file and puts it in the place of the one that is there. A crash leaves the old one or the new one.
fn create(medium: &dyn Medium, snapshot: &Snapshot) -> Result<Opened, Cause> {
    let opened = Opened::new(medium.fresh().map_err(into_cause)?).map_err(into_cause)?;
    write_snapshot(&opened.file, snapshot).map_err(into_cause)?;
    medium.promote().map_err(into_cause)?;
    Ok(opened)
}

fn into_cause(error: impl std::fmt::Display) -> Cause {
    error.to_string().into()
}

fn write<'a>(
    file: &Database,
    commit: Commit<'_>,
    unreachable: impl Iterator<Item = &'a Unreachable>,
) -> Result<(), redb::Error> {
    let txn = file.begin_write()?;
    {
        let mut log = txn.open_table(LOG)?;
        append(&mut log, commit.events)?;
        let mut key = Vec::new();
        for Unreachable { revision, key: name } in unreachable {
            record::encode_key(&mut key, *revision, name);
            log.remove(&key[..])?;
        }
    }
    write_meta(&txn, commit.revision, commit.compacted)?;
    Ok(txn.commit()?)
}

fn append(log: &mut Table<'_, &'static [u8], &'static [u8]>, events: &[Event]) -> Result<(), redb::Error> {
    let (mut key, mut value) = (Vec::new(), Vec::new());
    let (mut revision, mut position) = (0, 0);
    for event in events {
        position = if event.revision == revision { position + 1 } else { 0 };
        revision = event.revision;
        record::encode_key(&mut key, event.revision, &event.key);
        record::encode_value(&mut value, position, event.kv.as_ref());
        log.insert(&key[..], &value[..])?;
    }
    Ok(())
}

fn write_meta(txn: &WriteTransaction, revision: Revision, compacted: Revision) -> Result<(), redb::Error> {
    let mut meta = txn.open_table(META)?;
    meta.insert(META_FORMAT, FORMAT)?;
    meta.insert(META_REVISION, revision)?;
    meta.insert(META_COMPACTED, compacted)?;
    Ok(())
}

fn write_snapshot(file: &Database, snapshot: &Snapshot) -> Result<(), redb::Error> {
    let txn = file.begin_write()?;
    {
        let mut log = txn.open_table(LOG)?;
        let (mut key, mut value) = (Vec::new(), Vec::new());
        for kv in &snapshot.base {
            record::encode_key(&mut key, kv.mod_revision, &kv.key);
            record::encode_value(&mut value, 0, Some(kv));
            log.insert(&key[..], &value[..])?;
        }
        append(&mut log, &snapshot.events)?;
    }
    write_meta(&txn, snapshot.revision, snapshot.compacted)?;
    Ok(txn.commit()?)
}

/// Deletes what a commit that failed may have left after `revision`. False when the file does not reach up to it.
fn take_back(file: &Database, revision: Revision) -> Result<bool, redb::Error> {
    let meta = read_meta(file)?;
    if meta.revision < revision {
        return Ok(false);
    }
    let txn = file.begin_write()?;
    let first = record::first_key(revision + 1);
    txn.open_table(LOG)?.retain_in(&first[..].., |_, _| false)?;
    write_meta(&txn, revision, meta.compacted.min(revision))?;
    txn.commit()?;
    Ok(true)
}

struct Meta {
    revision: Revision,
    compacted: Revision,
}

fn read_meta(file: &Database) -> Result<Meta, redb::Error> {
    let txn = file.begin_read()?;
    let meta = txn.open_table(META)?;
    let number = |name| Ok::<_, redb::Error>(meta.get(name)?.map_or(0, |number| number.value()));
    match number(META_FORMAT)? {
        FORMAT => Ok(Meta { revision: number(META_REVISION)?, compacted: number(META_COMPACTED)? }),
        format => Err(redb::Error::Corrupted(format!("log has format {format}, not {FORMAT}"))),
    }
}

/// Reads the whole log in order: what lies before the window makes up the base, what lies in it is replayed as events.
fn load(file: &Database, window_max: WindowMax) -> Result<(State, Vec<Unreachable>), redb::Error> {
    let meta = read_meta(file)?;
    let mut state = State::new(window_max, meta.compacted);
    let mut unreachable = Vec::new();
    let mut same_revision: Vec<Record> = Vec::new();
    let txn = file.begin_read()?;
    for entry in txn.open_table(LOG)?.iter()? {
        let (key, value) = entry?;
        let record = Record::decode(key.value(), value.value())
            .ok_or_else(|| redb::Error::Corrupted("log has a record that cannot be read".into()))?;
        if same_revision.first().is_some_and(|first| first.revision != record.revision) {
            unreachable.append(&mut replay(&mut state, &mut same_revision));
        }
        same_revision.push(record);
    }
    unreachable.append(&mut replay(&mut state, &mut same_revision));
    state.revision = meta.revision;
    Ok((state, unreachable))
}

fn replay(state: &mut State, same_revision: &mut Vec<Record>) -> Vec<Unreachable> {
    same_revision.sort_unstable_by_key(|record| record.position);
    let events = same_revision.drain(..).map(|record| {
        let prev = state.get(&record.key).cloned();
        record.after(prev)
    });
    let events = events.collect();
    state.replay(events)
}
