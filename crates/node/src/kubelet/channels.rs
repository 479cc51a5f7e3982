//! Several streams in the messages of one WebSocket: the first byte of each names its channel, and in base64 its first
//! character does.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use tokio_tungstenite::tungstenite::Message;

pub(super) const STDIN: u8 = 0;
pub(super) const STDOUT: u8 = 1;
pub(super) const STDERR: u8 = 2;
pub(super) const ERROR: u8 = 3;
pub(super) const RESIZE: u8 = 4;
/// In the fifth version: the channel that the next byte names ends.
const CLOSE: u8 = 255;

/// The protocols, with the empty one for clients that name none.
pub(super) const PROTOCOLS: [&str; 6] = [
    "",
    "channel.k8s.io",
    "base64.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "v5.channel.k8s.io",
];

/// One of the protocols.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Protocol {
    is_base64: bool,
    /// How a run ended is told as a Status.
    pub(super) has_status: bool,
    has_close: bool,
}

/// What a message of a client means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    Bytes {
        channel: u8,
        bytes: Bytes,
    },
    /// The client sends no more on this channel.
    Closed {
        channel: u8,
    },
    Nothing,
}

impl Protocol {
    pub(super) fn named(name: &str) -> Self {
        Self {
            is_base64: name.contains("base64"),
            has_status: name.starts_with('v'),
            has_close: name.starts_with("v5"),
        }
    }

    pub(super) fn encode(self, channel: u8, bytes: &[u8]) -> Message {
        if self.is_base64 {
            let mut text = String::from(char::from(b'0' + channel));
            STANDARD.encode_string(bytes, &mut text);
            return Message::text(text);
        }
        let mut message = BytesMut::with_capacity(1 + bytes.len());
        message.put_u8(channel);
        message.put_slice(bytes);
        Message::Binary(message.freeze())
    }

    /// `None` when the message cannot be understood.
    pub(super) fn decode(self, message: Message) -> Option<Sent> {
        let mut bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => Bytes::from(text),
            Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => return Some(Sent::Nothing),
        };
        if bytes.is_empty() {
            return Some(Sent::Nothing);
        }
        let channel = bytes.split_to(1)[0];
        if self.has_close && channel == CLOSE {
            return bytes.first().map(|channel| Sent::Closed { channel: *channel });
        }
        if !self.is_base64 {
            return Some(Sent::Bytes { channel, bytes });
        }
        let bytes = STANDARD.decode(&bytes).ok()?.into();
        Some(Sent::Bytes { channel: channel.checked_sub(b'0')?, bytes })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_out_of_their_channel_as_they_went_in() {
        for name in PROTOCOLS {
            let protocol = Protocol::named(name);
            let sent = protocol.decode(protocol.encode(STDERR, b"\0oh no\xff")).unwrap();
            assert_eq!(sent, Sent::Bytes { channel: STDERR, bytes: Bytes::from_static(b"\0oh no\xff") }, "{name}");
        }
    }

    #[test]
    fn a_channel_is_closed_in_the_fifth_version_only() {
        let message = || Message::Binary(Bytes::from_static(&[255, 0]));
        assert_eq!(Protocol::named("v5.channel.k8s.io").decode(message()), Some(Sent::Closed { channel: 0 }));
        let older = Protocol::named("v4.channel.k8s.io").decode(message());
        assert_eq!(older, Some(Sent::Bytes { channel: 255, bytes: Bytes::from_static(&[0]) }));
    }

    #[test]
    fn nonsense_is_not_understood() {
        let base64 = Protocol::named("base64.channel.k8s.io");
        assert_eq!(base64.decode(Message::text("0!!")), None);
        assert_eq!(base64.decode(Message::text("\u{1}aGk=")), None);
        assert_eq!(Protocol::named("v5.channel.k8s.io").decode(Message::Binary(Bytes::from_static(&[255]))), None);
    }
}
