//! How connections between nodes behave: every limit that they keep.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{
    ClientConfig, ConnectionId, ConnectionIdGenerator, EndpointConfig, IdleTimeout, ServerConfig, TransportConfig,
    VarInt,
};
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};

use super::drives::Drives;
use super::{Config, Error};

/// A silent peer is asked for a sign of life this often, and given up when it has given none for so long.
const KEEP_ALIVE: Duration = Duration::from_secs(3);
const IDLE_TIMEOUT_MS: u32 = 15_000;
/// Streams that one peer may have open at one time.
const STREAMS_MAX: u32 = 8192;
/// Messages of one peer that are on their way at one time.
const MESSAGES_MAX: u32 = 1024;
/// What one stream holds before its writer waits.
const STREAM_WINDOW: u32 = 1 << 20;
/// What all streams of a connection together have sent and not yet heard of.
const SEND_WINDOW: u64 = 16 << 20;
const DATAGRAM_BUFFER: usize = 1 << 20;
const CONNECTION_ID_BYTES: usize = 8;

/// A UDP endpoint that dials and is dialled, and how it dials.
pub(super) fn endpoint(config: &Config, drives: &Arc<Drives>) -> Result<(quinn::Endpoint, ClientConfig), Error> {
    let (client, server) = configs(&config.client, &config.server)?;
    let listen = |source| Error::Listen { address: config.listen, source };
    let socket = bind(config.listen).map_err(listen)?;
    let settings = lasting(&config.secret);
    let (endpoint, _) = drives.begin(|| quinn::Endpoint::new(settings, Some(server), socket, drives.clone()));
    Ok((endpoint.map_err(listen)?, client))
}

/// What must be the same after a restart, for packets of connections from before to be answered with a reset.
fn lasting(secret: &[u8]) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, secret)));
    config.cid_generator(|| Box::new(RandomIds));
    config
}

/// Connection ids that show nothing of who gave them: none from before a restart looks foreign.
struct RandomIds;

impl ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> ConnectionId {
        let mut id = [0; CONNECTION_ID_BYTES];
        SystemRandom::new().fill(&mut id).expect("the kernel has random bytes");
        ConnectionId::new(&id)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

pub(super) fn configs(
    client: &rustls::ClientConfig,
    server: &rustls::ServerConfig,
) -> Result<(ClientConfig, ServerConfig), Error> {
    let transport = Arc::new(transport());
    let tls = |error: &dyn std::fmt::Display| Error::Tls { cause: error.to_string() };
    let crypto = QuicClientConfig::try_from(client.clone()).map_err(|error| tls(&error))?;
    let mut client = ClientConfig::new(Arc::new(crypto));
    client.transport_config(transport.clone());
    let crypto = QuicServerConfig::try_from(server.clone()).map_err(|error| tls(&error))?;
    let mut server = ServerConfig::with_crypto(Arc::new(crypto));
    server.transport_config(transport);
    Ok((client, server))
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .max_concurrent_bidi_streams(STREAMS_MAX.into())
        .max_concurrent_uni_streams(MESSAGES_MAX.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(Some(DATAGRAM_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_BUFFER);
    transport
}

/// An unspecified IPv4 address means both families, where the machine has both.
fn bind(address: SocketAddr) -> std::io::Result<UdpSocket> {
    if address.ip() == IpAddr::V4(Ipv4Addr::UNSPECIFIED)
        && let Ok(both) = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, address.port()))
    {
        return Ok(both);
    }
    UdpSocket::bind(address)
}
