//! The CRI log format: `2026-01-02T03:04:05.000000006Z stdout F text`. Pure. A record is a line, or a piece (`P`) of a
//! long or unfinished one.

use coracle_runtime::StdStream;
use jiff::Timestamp;

/// A line longer than this is written in pieces.
pub(super) const PIECE_MAX: usize = 16 * 1024;
/// Timestamps have a fixed width, so that they compare as text.
const TIME_LEN: usize = 30;
const STREAM_LEN: usize = 6;
const STREAM_AT: usize = TIME_LEN + 1;
const TAG_AT: usize = STREAM_AT + STREAM_LEN + 1;
const TEXT_AT: usize = TAG_AT + 2;

/// A moment as records and readers write it.
pub(super) fn stamp(time: Timestamp) -> String {
    format!("{time:.9}")
}

/// Turns what one guest writes into records.
#[derive(Debug, Default)]
pub(super) struct Formatter {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Formatter {
    /// Adds the records that `bytes` complete to `out`; keeps an unfinished line for later.
    pub(super) fn push(&mut self, time: Timestamp, stream: StdStream, bytes: &[u8], out: &mut Vec<u8>) {
        let stamp = stamp(time);
        let kept = self.kept(stream);
        let mut rest = bytes;
        while let Some(at) = rest.iter().position(|byte| *byte == b'\n') {
            kept.extend_from_slice(&rest[..at]);
            rest = &rest[at + 1..];
            pieces(kept, &stamp, stream, out);
            record(&stamp, stream, b'F', kept, out);
            kept.clear();
        }
        kept.extend_from_slice(rest);
        pieces(kept, &stamp, stream, out);
    }

    /// Adds what is left of unfinished lines.
    pub(super) fn finish(&mut self, time: Timestamp, out: &mut Vec<u8>) {
        for stream in [StdStream::Stdout, StdStream::Stderr] {
            let kept = std::mem::take(self.kept(stream));
            if !kept.is_empty() {
                record(&stamp(time), stream, b'P', &kept, out);
            }
        }
    }

    fn kept(&mut self, stream: StdStream) -> &mut Vec<u8> {
        match stream {
            StdStream::Stdout => &mut self.stdout,
            StdStream::Stderr => &mut self.stderr,
        }
    }
}

/// Writes all of `kept` that is too long for one record, as pieces.
fn pieces(kept: &mut Vec<u8>, stamp: &str, stream: StdStream, out: &mut Vec<u8>) {
    let whole = kept.len().saturating_sub(1) / PIECE_MAX * PIECE_MAX;
    for piece in kept[..whole].chunks(PIECE_MAX) {
        record(stamp, stream, b'P', piece, out);
    }
    kept.drain(..whole);
}

fn record(stamp: &str, stream: StdStream, tag: u8, text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(stamp.as_bytes());
    out.extend_from_slice(match stream {
        StdStream::Stdout => b" stdout ",
        StdStream::Stderr => b" stderr ",
    });
    out.extend_from_slice(&[tag, b' ']);
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// One record read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub time: &'a [u8],
    pub stream: StdStream,
    /// False for a piece that goes on in the next record.
    pub ends_line: bool,
    pub text: &'a [u8],
}

impl<'a> Record<'a> {
    /// Reads a record, without its newline. `None` for what was never finished, as after a loss of power.
    pub(super) fn parse(line: &'a [u8]) -> Option<Self> {
        if line.len() < TEXT_AT || line[TEXT_AT - 1] != b' ' {
            return None;
        }
        let stream = match &line[STREAM_AT..STREAM_AT + STREAM_LEN] {
            b"stderr" => StdStream::Stderr,
            _ => StdStream::Stdout,
        };
        Some(Self { time: &line[..TIME_LEN], stream, ends_line: line[TAG_AT] == b'F', text: &line[TEXT_AT..] })
    }
}

/// Reads a line as [`Reader`](super::Reader) does: it is a record, or what a loss of power left of one. For fuzzers.
#[doc(hidden)]
pub fn check_line(line: &[u8]) {
    if let Some(record) = Record::parse(line) {
        assert!(line.starts_with(record.time) && line.ends_with(record.text));
    }
}
