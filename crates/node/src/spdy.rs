//! SPDY/3.1 framing as port-forwarding clients speak it: bytes in, events out, and frames as bytes. It has no I/O and no
//! clock, and holds no more than one control frame and the window of its header compression.
//!
//! What it understands is what these clients send: streams with headers, data, half-closes, resets, pings and the end of
//! the session. Settings and window updates are read over: such clients have no flow control but the connection's own.

mod dictionary;
mod frame;
mod headers;
mod inflate;
#[cfg(test)]
mod tests;

use std::collections::HashSet;

use bytes::{Buf, Bytes, BytesMut};

pub(crate) use frame::{REFUSED_STREAM, data, ping, reset};
pub(crate) use headers::Headers;

use frame::{Control, FIN, HEADER_BYTES, Head};
use inflate::Inflater;

/// Bytes of one control frame, which holds a stream's headers.
const CONTROL_BYTES_MAX: usize = 16 << 10;
/// Streams that a client may have open at once.
const STREAMS_MAX: usize = 2048;

/// What a client's bytes amount to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Opened {
        stream: u32,
        headers: Headers,
    },
    Data {
        stream: u32,
        bytes: Bytes,
    },
    /// The client sends no more on this stream.
    Finished {
        stream: u32,
    },
    /// The client has given the stream up.
    Reset {
        stream: u32,
    },
    /// A ping to be answered with the same id.
    Ping {
        id: u32,
    },
    /// More streams than there may be: this one is to be reset.
    Refused {
        stream: u32,
    },
    /// The client ends the session.
    GoAway,
}

/// Why a client cannot be understood any further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Error {
    #[error("SPDY version {0} instead of 3")]
    Version(u16),
    #[error("a control frame of {0} bytes")]
    ControlTooLong(usize),
    #[error("a control frame of type {0} that is too short")]
    Short(u16),
    #[error("stream {0} opened out of order")]
    Order(u32),
    #[error("a header block that cannot be read: {0}")]
    Headers(&'static str),
}

/// Reads what a client sends.
pub(crate) struct Decoder {
    /// The head of a frame, or a control frame, that has not come completely.
    partial: BytesMut,
    /// The data frame whose payload comes now.
    payload: Option<Payload>,
    inflater: Inflater,
    open: HashSet<u32>,
    last_opened: u32,
}

#[derive(Clone, Copy)]
struct Payload {
    stream: u32,
    left: usize,
    fin: bool,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self {
            partial: BytesMut::new(),
            payload: None,
            inflater: Inflater::new(),
            open: HashSet::new(),
            last_opened: 0,
        }
    }

    /// Takes in the next bytes, and appends what they mean. After an error nothing more may be taken in.
    pub(crate) fn receive(&mut self, mut bytes: Bytes, events: &mut Vec<Event>) -> Result<(), Error> {
        loop {
            if let Some(payload) = self.payload.take() {
                self.take_payload(payload, &mut bytes, events);
                if self.payload.is_some() {
                    return Ok(());
                }
            }
            if !self.fill(HEADER_BYTES, &mut bytes) {
                return Ok(());
            }
            match Head::read(&self.partial) {
                Head::Data { stream, flags, length } => {
                    self.partial.clear();
                    self.payload = Some(Payload { stream, left: length, fin: flags & FIN != 0 });
                }
                Head::Control { version, .. } if version != 3 => return Err(Error::Version(version)),
                Head::Control { length, .. } if length > CONTROL_BYTES_MAX => {
                    return Err(Error::ControlTooLong(length));
                }
                Head::Control { kind, flags, length, .. } => {
                    if !self.fill(HEADER_BYTES + length, &mut bytes) {
                        return Ok(());
                    }
                    let mut frame = self.partial.split().freeze();
                    frame.advance(HEADER_BYTES);
                    self.control(Control::read(kind, flags, frame)?, events)?;
                }
            }
        }
    }

    /// This side is done with `stream`: it counts no longer.
    pub(crate) fn forget(&mut self, stream: u32) {
        self.open.remove(&stream);
    }

    /// Has `n` bytes of the frame here, if they have come.
    fn fill(&mut self, n: usize, bytes: &mut Bytes) -> bool {
        let missing = n.saturating_sub(self.partial.len()).min(bytes.len());
        self.partial.extend_from_slice(&bytes.split_to(missing));
        self.partial.len() >= n
    }

    fn take_payload(&mut self, mut payload: Payload, bytes: &mut Bytes, events: &mut Vec<Event>) {
        let here = bytes.split_to(payload.left.min(bytes.len()));
        payload.left -= here.len();
        let stream = payload.stream;
        let is_open = self.open.contains(&stream);
        if is_open && !here.is_empty() {
            events.push(Event::Data { stream, bytes: here });
        }
        if payload.left > 0 {
            self.payload = Some(payload);
        } else if is_open && payload.fin {
            events.push(Event::Finished { stream });
        }
    }

    fn control(&mut self, control: Control, events: &mut Vec<Event>) -> Result<(), Error> {
        match control {
            Control::SynStream { stream, fin, block } => {
                // The block is read in any case: the next one builds on it.
                let headers = headers::read(&self.inflater.inflate(&block)?)?;
                if stream <= self.last_opened || stream % 2 == 0 {
                    return Err(Error::Order(stream));
                }
                self.last_opened = stream;
                if self.open.len() >= STREAMS_MAX {
                    events.push(Event::Refused { stream });
                    return Ok(());
                }
                self.open.insert(stream);
                events.push(Event::Opened { stream, headers });
                if fin {
                    events.push(Event::Finished { stream });
                }
            }
            Control::Headers { stream, fin, block } => {
                self.inflater.inflate(&block)?;
                if fin && self.open.contains(&stream) {
                    events.push(Event::Finished { stream });
                }
            }
            Control::Reset { stream } => {
                if self.open.remove(&stream) {
                    events.push(Event::Reset { stream });
                }
            }
            // Ours would be even; what comes back is an answer.
            Control::Ping { id } if id % 2 == 1 => events.push(Event::Ping { id }),
            Control::GoAway => events.push(Event::GoAway),
            Control::Ping { .. } | Control::Ignored => {}
        }
        Ok(())
    }
}

/// Makes the replies to opened streams. They share one compression context, as the client reads them with one.
#[derive(Default)]
pub(crate) struct Replies {
    has_begun: bool,
}

impl Replies {
    /// Accepts `stream`, with no headers.
    pub(crate) fn accept(&mut self, stream: u32) -> Bytes {
        let is_first = !std::mem::replace(&mut self.has_begun, true);
        frame::syn_reply(stream, &headers::stored(&[], is_first))
    }
}
