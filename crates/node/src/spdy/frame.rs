//! Frames of SPDY/3: their heads, the control frames that matter, and those that we send.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Error;

pub(super) const HEADER_BYTES: usize = 8;
/// The sender of the frame sends no more on its stream.
pub(super) const FIN: u8 = 1;
/// As the reason of a reset: the stream was not begun.
pub(crate) const REFUSED_STREAM: u32 = 3;

const VERSION: u16 = 3;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const CONTROL_BIT: u16 = 0x8000;
const STREAM_BITS: u32 = 0x7fff_ffff;
/// What a frame's length has room for.
const DATA_BYTES_MAX: usize = 0xff_ffff;

/// The first bytes of a frame.
pub(super) enum Head {
    Data { stream: u32, flags: u8, length: usize },
    Control { version: u16, kind: u16, flags: u8, length: usize },
}

impl Head {
    /// Reads the first eight bytes, which must be there.
    pub(super) fn read(mut bytes: &[u8]) -> Self {
        let first = bytes.get_u32();
        let second = bytes.get_u32();
        let (flags, length) = (second.to_be_bytes()[0], (second & 0x00ff_ffff) as usize);
        let (upper, lower) = ((first >> 16) as u16, (first & 0xffff) as u16);
        if upper & CONTROL_BIT == 0 {
            Self::Data { stream: first, flags, length }
        } else {
            Self::Control { version: upper & !CONTROL_BIT, kind: lower, flags, length }
        }
    }
}

/// A control frame of a client.
pub(super) enum Control {
    SynStream { stream: u32, fin: bool, block: Bytes },
    Headers { stream: u32, fin: bool, block: Bytes },
    Reset { stream: u32 },
    Ping { id: u32 },
    GoAway,
    Ignored,
}

impl Control {
    pub(super) fn read(kind: u16, flags: u8, mut payload: Bytes) -> Result<Self, Error> {
        let needed = match kind {
            SYN_STREAM => 10,
            RST_STREAM | GOAWAY => 8,
            PING | HEADERS => 4,
            _ => 0,
        };
        if payload.len() < needed {
            return Err(Error::Short(kind));
        }
        let fin = flags & FIN != 0;
        Ok(match kind {
            SYN_STREAM => {
                let stream = payload.get_u32() & STREAM_BITS;
                // The stream it belongs to, its priority and its slot mean nothing here.
                payload.advance(6);
                Self::SynStream { stream, fin, block: payload }
            }
            HEADERS => Self::Headers { stream: payload.get_u32() & STREAM_BITS, fin, block: payload },
            RST_STREAM => Self::Reset { stream: payload.get_u32() & STREAM_BITS },
            PING => Self::Ping { id: payload.get_u32() },
            GOAWAY => Self::GoAway,
            _ => Self::Ignored,
        })
    }
}

/// Data on `stream`, the last of it when `fin`.
pub(crate) fn data(stream: u32, bytes: &[u8], fin: bool) -> Bytes {
    assert!(bytes.len() <= DATA_BYTES_MAX, "data comes in pieces that fit a frame");
    let mut frame = BytesMut::with_capacity(HEADER_BYTES + bytes.len());
    frame.put_u32(stream & STREAM_BITS);
    put_length(&mut frame, if fin { FIN } else { 0 }, bytes.len());
    frame.put_slice(bytes);
    frame.freeze()
}

/// Gives `stream` up.
pub(crate) fn reset(stream: u32, status: u32) -> Bytes {
    let mut payload = stream.to_be_bytes().to_vec();
    payload.extend_from_slice(&status.to_be_bytes());
    control(RST_STREAM, &payload)
}

pub(crate) fn ping(id: u32) -> Bytes {
    control(PING, &id.to_be_bytes())
}

pub(super) fn syn_reply(stream: u32, block: &[u8]) -> Bytes {
    let mut payload = stream.to_be_bytes().to_vec();
    payload.extend_from_slice(block);
    control(SYN_REPLY, &payload)
}

fn control(kind: u16, payload: &[u8]) -> Bytes {
    let mut frame = BytesMut::with_capacity(HEADER_BYTES + payload.len());
    frame.put_u16(CONTROL_BIT | VERSION);
    frame.put_u16(kind);
    put_length(&mut frame, 0, payload.len());
    frame.put_slice(payload);
    frame.freeze()
}

fn put_length(frame: &mut BytesMut, flags: u8, length: usize) {
    let length = u32::try_from(length).expect("frames are bounded");
    frame.put_u32(u32::from(flags) << 24 | length);
}

#[cfg(test)]
pub(super) mod client {
    //! What a client sends.

    use super::*;

    pub(in crate::spdy) fn syn_stream(stream: u32, fin: bool, block: &[u8]) -> Bytes {
        let mut payload = stream.to_be_bytes().to_vec();
        payload.extend_from_slice(&[0; 6]);
        payload.extend_from_slice(block);
        let mut frame = BytesMut::from(&control(SYN_STREAM, &payload)[..]);
        frame[4] = if fin { FIN } else { 0 };
        frame.freeze()
    }

    pub(in crate::spdy) fn other(kind: u16, payload: &[u8]) -> Bytes {
        control(kind, payload)
    }
}
