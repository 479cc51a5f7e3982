//! What nodes say to each other on a connection: the words that open a stream, datagrams, and whom one reaches. It reads
//! and writes bytes, and trusts none.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use coracle_runtime::network::NetworkError;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::route::Header;

/// The protocol's name and version in the TLS handshake.
pub(crate) const PROTOCOL: &[u8] = b"coracle-mesh/1";
/// Bytes that open a stream. A name has at most 253.
const ASK_BYTES_MAX: usize = 512;
/// Bytes of one message that is not a stream: a datagram with its header, or a list of names.
pub(crate) const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Bytes of a datagram that came in a stream: what UDP carries, and its header.
pub(crate) const FRAME_BYTES_MAX: usize = 66 * 1024;
const NAMES_MAX: usize = 8192;

/// What a stream is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// A connection to a pod.
    Pod(Header),
    /// The node's own API.
    Node,
    /// To be passed on to another node.
    Relay { to: String },
    /// Passed on by a neighbour: a TLS session of somebody else follows.
    Relayed,
    /// Datagrams follow, each with its length before it.
    Datagrams,
}

/// A message in a stream of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// Whom the sender reaches directly.
    Reaches { sequence: u64, names: BTreeSet<String> },
    /// A datagram that was too large for a packet.
    Datagram(Header, Bytes),
}

fn malformed() -> io::Error {
    ErrorKind::InvalidData.into()
}

pub(crate) async fn write_ask(stream: &mut (impl AsyncWrite + Unpin), ask: &Ask) -> io::Result<()> {
    let mut bytes = BytesMut::new();
    bytes.put_u16(0);
    match ask {
        Ask::Pod(header) => {
            bytes.put_u8(0);
            put_header(&mut bytes, *header);
        }
        Ask::Node => bytes.put_u8(1),
        Ask::Relay { to } => {
            bytes.put_u8(2);
            bytes.put_slice(to.as_bytes());
        }
        Ask::Relayed => bytes.put_u8(3),
        Ask::Datagrams => bytes.put_u8(4),
    }
    let length = u16::try_from(bytes.len() - 2).map_err(|_| malformed())?;
    bytes[..2].copy_from_slice(&length.to_be_bytes());
    stream.write_all(&bytes).await?;
    stream.flush().await
}

pub(crate) async fn read_ask(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Ask> {
    let length = usize::from(stream.read_u16().await?);
    if length > ASK_BYTES_MAX {
        return Err(malformed());
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    parse_ask(bytes.into()).ok_or_else(malformed)
}

fn parse_ask(mut bytes: Bytes) -> Option<Ask> {
    match bytes.try_get_u8().ok()? {
        0 => take_header(&mut bytes).map(Ask::Pod),
        1 => Some(Ask::Node),
        2 => Some(Ask::Relay { to: std::str::from_utf8(&bytes).ok()?.to_owned() }),
        3 => Some(Ask::Relayed),
        4 => Some(Ask::Datagrams),
        _ => None,
    }
}

const ERRORS: [NetworkError; 7] = [
    NetworkError::RemoteUnreachable,
    NetworkError::ConnectionRefused,
    NetworkError::AccessDenied,
    NetworkError::NewSocketLimit,
    NetworkError::Timeout,
    NetworkError::NotSupported,
    NetworkError::InvalidArgument,
];

/// Says whether what was asked for is granted.
pub(crate) async fn write_answer(
    stream: &mut (impl AsyncWrite + Unpin),
    answer: Result<(), NetworkError>,
) -> io::Result<()> {
    let byte = match answer {
        Ok(()) => 0,
        Err(error) => ERRORS.iter().position(|known| *known == error).map_or(1, |idx| idx as u8 + 1),
    };
    stream.write_all(&[byte]).await?;
    stream.flush().await
}

pub(crate) async fn read_answer(stream: &mut (impl AsyncRead + Unpin)) -> Result<(), NetworkError> {
    match stream.read_u8().await.map_err(|_| NetworkError::RemoteUnreachable)? {
        0 => Ok(()),
        code => Err(ERRORS.get(usize::from(code) - 1).copied().unwrap_or(NetworkError::RemoteUnreachable)),
    }
}

/// A datagram as it travels.
pub(crate) fn datagram(header: Header, payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(payload.len() + 64);
    put_header(&mut bytes, header);
    bytes.put_slice(payload);
    bytes.freeze()
}

pub(crate) fn parse_datagram(mut bytes: Bytes) -> Option<(Header, Bytes)> {
    Some((take_header(&mut bytes)?, bytes))
}

pub(crate) fn message(message: &Message) -> Bytes {
    let mut bytes = BytesMut::new();
    match message {
        Message::Reaches { sequence, names } => {
            bytes.put_u8(0);
            bytes.put_u64(*sequence);
            for name in names.iter().take(NAMES_MAX) {
                bytes.put_slice(name.as_bytes());
                bytes.put_u8(b'\n');
            }
        }
        Message::Datagram(header, payload) => {
            bytes.put_u8(1);
            put_header(&mut bytes, *header);
            bytes.put_slice(payload);
        }
    }
    bytes.freeze()
}

pub(crate) fn parse_message(mut bytes: Bytes) -> Option<Message> {
    match bytes.try_get_u8().ok()? {
        0 => {
            let sequence = bytes.try_get_u64().ok()?;
            let names = std::str::from_utf8(&bytes).ok()?.lines().take(NAMES_MAX).map(str::to_owned).collect();
            Some(Message::Reaches { sequence, names })
        }
        1 => parse_datagram(bytes).map(|(header, payload)| Message::Datagram(header, payload)),
        _ => None,
    }
}

fn put_header(bytes: &mut BytesMut, header: Header) {
    bytes.put_u8(2 + u8::from(header.client.is_some()));
    for address in [Some(header.source), Some(header.destination), header.client].into_iter().flatten() {
        match address.ip() {
            IpAddr::V4(ip) => {
                bytes.put_u8(4);
                bytes.put_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                bytes.put_u8(6);
                bytes.put_slice(&ip.octets());
            }
        }
        bytes.put_u16(address.port());
    }
}

fn take_header(bytes: &mut Bytes) -> Option<Header> {
    let n_addresses = bytes.try_get_u8().ok()?;
    let (source, destination) = (take_address(bytes)?, take_address(bytes)?);
    let client = match n_addresses {
        2 => None,
        3 => Some(take_address(bytes)?),
        _ => return None,
    };
    Some(Header { source, destination, client })
}

fn take_address(bytes: &mut Bytes) -> Option<SocketAddr> {
    let ip = match bytes.try_get_u8().ok()? {
        4 => IpAddr::from(bytes.try_get_u32().ok()?.to_be_bytes()),
        6 => IpAddr::from(bytes.try_get_u128().ok()?.to_be_bytes()),
        _ => return None,
    };
    Some(SocketAddr::new(ip, bytes.try_get_u16().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address() -> impl Strategy<Value = SocketAddr> {
        (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
    }

    fn header() -> impl Strategy<Value = Header> {
        (address(), address(), prop::option::of(address())).prop_map(|(source, destination, client)| Header {
            source,
            destination,
            client,
        })
    }

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }

    proptest! {
        #[test]
        fn what_was_asked_is_what_is_read(header in header(), to in "[a-z0-9.-]{1,253}") {
            for ask in [Ask::Pod(header), Ask::Node, Ask::Relay { to: to.clone() }, Ask::Relayed, Ask::Datagrams] {
                let mut wire = Vec::new();
                block_on(write_ask(&mut wire, &ask)).unwrap();
                prop_assert_eq!(block_on(read_ask(&mut wire.as_slice())).unwrap(), ask);
            }
        }

        #[test]
        fn messages_arrive_as_they_were_sent(header in header(), payload: Vec<u8>, names: BTreeSet<u16>) {
            let names = names.into_iter().map(|name| format!("n{name}")).collect();
            for sent in [Message::Reaches { sequence: 7, names }, Message::Datagram(header, payload.clone().into())] {
                prop_assert_eq!(parse_message(message(&sent)), Some(sent));
            }
            prop_assert_eq!(parse_datagram(datagram(header, &payload)), Some((header, payload.into())));
        }

        #[test]
        fn no_bytes_are_trusted(bytes: Vec<u8>) {
            let _ = (parse_ask(bytes.clone().into()), parse_message(bytes.clone().into()), parse_datagram(bytes.into()));
        }
    }

    #[test]
    fn every_answer_is_understood() {
        for answer in ERRORS.map(Err).into_iter().chain([Ok(())]) {
            let mut wire = Vec::new();
            block_on(write_answer(&mut wire, answer)).unwrap();
            assert_eq!(block_on(read_answer(&mut wire.as_slice())), answer);
        }
    }
}
