//! Reads a log back: its tail, since a time, with timestamps, up to a number of bytes, and on as it grows, across
//! rotation.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use coracle_runtime::StdStream;
use jiff::Timestamp;
use tokio::sync::watch;

use super::files;
use super::format::{Record, stamp};
use super::writer::{ContainerLog, Progress};

const CHUNK: usize = 64 * 1024;

/// What a reader wants to see.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    pub tail: Option<usize>,
    /// Only what went to this one.
    pub stream: Option<StdStream>,
    pub since: Option<Timestamp>,
    pub timestamps: bool,
    pub limit_bytes: Option<usize>,
    pub follow: bool,
}

/// A log that is being read. [`Reader::next`] gives it in pieces.
pub struct Reader {
    place: Place,
    live: Option<watch::Receiver<Progress>>,
    options: Shown,
    follow: bool,
}

/// Where in the log the reader is. `part` is the number of the file, also while it is the current one.
struct Place {
    dir: PathBuf,
    attempt: u32,
    part: u64,
    skip: u64,
    file: Option<File>,
    unfinished: Vec<u8>,
}

struct Shown {
    stream: Option<StdStream>,
    since: Option<String>,
    timestamps: bool,
    bytes_left: usize,
    in_line: bool,
}

impl Reader {
    /// Reads a log that is being written.
    pub async fn live(log: &Arc<ContainerLog>, options: ReadOptions) -> Self {
        log.flush().await;
        Self::open(log.dir.clone(), log.attempt, Some(log.progress()), options).await
    }

    /// Reads a log that nobody writes any more.
    pub async fn ended(dir: PathBuf, attempt: u32, options: ReadOptions) -> Self {
        Self::open(dir, attempt, None, options).await
    }

    async fn open(dir: PathBuf, attempt: u32, live: Option<watch::Receiver<Progress>>, options: ReadOptions) -> Self {
        let current = live.as_ref().map(|live| live.borrow().part);
        let tail = options.tail;
        let begin = move || {
            let parts = files::parts(&dir, attempt);
            let current = current.unwrap_or_else(|| parts.last().map_or(1, |last| last + 1));
            let (part, skip) = match tail {
                Some(n_lines) => tail_start(&dir, attempt, &parts, current, n_lines),
                None => (parts.first().copied().unwrap_or(current), 0),
            };
            Place { dir, attempt, part, skip, file: None, unfinished: Vec::new() }
        };
        let place = tokio::task::spawn_blocking(begin).await.expect("reading logs does not panic");
        let shown = Shown {
            stream: options.stream,
            since: options.since.map(stamp),
            timestamps: options.timestamps,
            bytes_left: options.limit_bytes.unwrap_or(usize::MAX),
            in_line: false,
        };
        Self { place, live, options: shown, follow: options.follow }
    }

    /// The next piece; `None` at the end. Waits for the log to grow when it is followed.
    pub async fn next(mut self) -> Option<(io::Result<Bytes>, Self)> {
        loop {
            if self.options.bytes_left == 0 {
                return None;
            }
            // Looked at before the file is: what comes between is then seen as a change.
            let seen = self.live.as_mut().map(|live| *live.borrow_and_update());
            let (place, chunk) = read(self.place).await;
            self.place = place;
            match chunk {
                Err(error) => return Some((Err(error), self)),
                Ok(chunk) if chunk.is_empty() => {
                    if !self.at_end(seen).await {
                        return None;
                    }
                }
                Ok(chunk) => {
                    let out = self.options.show(&mut self.place.unfinished, &chunk);
                    if !out.is_empty() {
                        return Some((Ok(out.into()), self));
                    }
                }
            }
        }
    }

    /// Goes on to the next file, or waits for more. False at the end of the log.
    async fn at_end(&mut self, seen: Option<Progress>) -> bool {
        let Some(seen) = seen else {
            let next = files::part(&self.place.dir, self.place.attempt, self.place.part);
            let was_put_aside = next.exists();
            return was_put_aside && self.place.advance();
        };
        if self.place.part < seen.part {
            return self.place.advance();
        }
        if seen.closed || !self.follow {
            return false;
        }
        match &mut self.live {
            Some(live) => live.changed().await.is_ok(),
            None => false,
        }
    }
}

impl Place {
    fn advance(&mut self) -> bool {
        self.part += 1;
        self.file = None;
        true
    }

    /// Reads on. Empty at the end of this file, and when there is no such file.
    fn read(&mut self) -> io::Result<Vec<u8>> {
        if self.file.is_none() {
            self.file = self.open()?;
        }
        let Some(file) = &mut self.file else { return Ok(Vec::new()) };
        let mut chunk = vec![0; CHUNK];
        let n_read = file.read(&mut chunk)?;
        chunk.truncate(n_read);
        Ok(chunk)
    }

    fn open(&mut self) -> io::Result<Option<File>> {
        // The current file may be put aside between the two looks, and is then found by the third.
        let candidates = [
            files::part(&self.dir, self.attempt, self.part),
            files::current(&self.dir, self.attempt),
            files::part(&self.dir, self.attempt, self.part),
        ];
        for path in candidates {
            match File::open(path) {
                Ok(mut file) => {
                    file.seek(SeekFrom::Start(std::mem::take(&mut self.skip)))?;
                    return Ok(Some(file));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

async fn read(mut place: Place) -> (Place, io::Result<Vec<u8>>) {
    let reading = tokio::task::spawn_blocking(move || {
        let chunk = place.read();
        (place, chunk)
    });
    reading.await.expect("reading logs does not panic")
}

impl Shown {
    /// What the reader sees of the records that `chunk` completes.
    fn show(&mut self, unfinished: &mut Vec<u8>, chunk: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(chunk.len());
        unfinished.extend_from_slice(chunk);
        let Some(end) = unfinished.iter().rposition(|byte| *byte == b'\n') else { return out };
        for line in unfinished[..end].split(|byte| *byte == b'\n') {
            if let Some(record) = Record::parse(line) {
                self.show_record(record, &mut out);
            }
        }
        unfinished.drain(..=end);
        out.truncate(self.bytes_left);
        self.bytes_left -= out.len();
        out
    }

    fn show_record(&mut self, record: Record<'_>, out: &mut Vec<u8>) {
        let is_other = self.stream.is_some_and(|stream| stream != record.stream);
        if is_other || self.since.as_ref().is_some_and(|since| record.time < since.as_bytes()) {
            return;
        }
        if self.timestamps && !self.in_line {
            out.extend_from_slice(record.time);
            out.push(b' ');
        }
        out.extend_from_slice(record.text);
        if record.ends_line {
            out.push(b'\n');
        }
        self.in_line = !record.ends_line;
    }
}

/// The file and the place in it where the last `n_lines` lines begin.
fn tail_start(dir: &Path, attempt: u32, parts: &[u64], current: u64, n_lines: usize) -> (u64, u64) {
    let mut tail = Tail { left: n_lines, goes_on: [false; 2] };
    let mut start = (current, 0);
    let older =
        parts.iter().rev().filter(|part| **part < current).map(|part| (*part, files::part(dir, attempt, *part)));
    for (part, path) in std::iter::once((current, files::current(dir, attempt))).chain(older) {
        let Ok(content) = std::fs::read(path) else { continue };
        let offset = tail.begins(&content);
        start = (part, offset as u64);
        if offset > 0 {
            break;
        }
    }
    start
}

/// Looks for the last lines, from the end on. A line in pieces is one, and so is one that was never finished.
struct Tail {
    left: usize,
    /// Of each stream, whether a record of it comes later, which a piece is the beginning of.
    goes_on: [bool; 2],
}

impl Tail {
    /// Where in `content` the lines begin; 0 also when they begin before it.
    fn begins(&mut self, content: &[u8]) -> usize {
        let line_end = |bytes: &[u8]| bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        // What comes after the last newline is still being written.
        let mut start = line_end(content);
        while start > 0 {
            let line_start = line_end(&content[..start - 1]);
            if let Some(record) = Record::parse(&content[line_start..start - 1]) {
                let goes_on = std::mem::replace(&mut self.goes_on[record.stream as usize], true);
                if record.ends_line || !goes_on {
                    let Some(left) = self.left.checked_sub(1) else { return start };
                    self.left = left;
                }
            }
            start = line_start;
        }
        0
    }
}

/// The last lines of an instance's log, for its termination message.
pub async fn tail_of(log: &Arc<ContainerLog>, n_lines: usize, bytes_max: usize) -> String {
    let options = ReadOptions { tail: Some(n_lines), ..ReadOptions::default() };
    let mut reader = Some(Reader::live(log, options).await);
    let mut text = Vec::new();
    while let Some(open) = reader.take() {
        if let Some((Ok(piece), next)) = open.next().await {
            text.extend_from_slice(&piece);
            reader = Some(next);
        }
    }
    let cut = text.len().saturating_sub(bytes_max);
    String::from_utf8_lossy(&text[cut..]).into_owned()
}
