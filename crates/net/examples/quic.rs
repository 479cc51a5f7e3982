//! What quinn itself carries on a path: one stream or one datagram, and nothing of the mesh around it. The benchmark
//! `overlay` holds the mesh against it. `quic sink DIR ADDRESS` takes streams and sends datagrams back, `quic send DIR
//! ADDRESS SECONDS` sends a stream, `quic ping DIR ADDRESS COUNT` datagrams; they share the authority in DIR.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use coracle_net::mesh::PROTOCOL;
use coracle_pki::{Pki, Renewable, peer_configs};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig, TransportConfig, VarInt};
use tokio::task::JoinSet;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const CHUNK_BYTES: usize = 64 << 10;
const DATAGRAM_BYTES: usize = 64;
/// Room enough for every path that is measured. The rest is as quinn comes.
const STREAM_WINDOW: u32 = 8 << 20;

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match &args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["sink", dir, address] => sink(dir.as_ref(), address.parse()?).await,
        ["send", dir, address, seconds] => {
            send(dir.as_ref(), address.parse()?, Duration::from_secs(seconds.parse()?)).await
        }
        ["ping", dir, address, count] => ping(dir.as_ref(), address.parse()?, count.parse()?).await,
        _ => Err("usage: quic sink DIR ADDRESS | send DIR ADDRESS SECONDS | ping DIR ADDRESS COUNT".into()),
    }
}

/// Answers a stream with how many bytes came in how many nanoseconds, and datagrams with themselves.
async fn sink(dir: &Path, address: SocketAddr) -> Result<()> {
    let endpoint = Endpoint::server(configs(dir)?.1, address)?;
    println!("listening on {address}");
    while let Some(incoming) = endpoint.accept().await {
        // One that has gone is no reason to end.
        let connection = incoming.await?;
        let _ = tokio::join!(take(connection.clone()), echo(connection));
    }
    Ok(())
}

async fn echo(connection: Connection) -> Result<()> {
    loop {
        connection.send_datagram(connection.read_datagram().await?)?;
    }
}

async fn take(connection: Connection) -> Result<()> {
    let (mut answer, mut stream) = connection.accept_bi().await?;
    let (mut n_bytes, began) = (0, Instant::now());
    while let Some(chunk) = stream.read_chunk(usize::MAX, true).await? {
        n_bytes += chunk.bytes.len();
    }
    answer.write_all(format!("{n_bytes} {}", began.elapsed().as_nanos()).as_bytes()).await?;
    answer.finish()?;
    connection.closed().await;
    Ok(())
}

async fn send(dir: &Path, address: SocketAddr, lasting: Duration) -> Result<()> {
    let endpoint = Endpoint::client(SocketAddr::from(([0, 0, 0, 0], 0)))?;
    let connection = endpoint.connect_with(configs(dir)?.0, address, "node.invalid")?.await?;
    let (mut stream, mut answer) = connection.open_bi().await?;
    let (chunk, began) = (Bytes::from(vec![b'x'; CHUNK_BYTES]), Instant::now());
    while began.elapsed() < lasting {
        stream.write_chunk(chunk.clone()).await?;
    }
    stream.finish()?;
    println!("{}", String::from_utf8(answer.read_to_end(CHUNK_BYTES).await?)?);
    connection.close(VarInt::from_u32(0), b"");
    endpoint.wait_idle().await;
    Ok(())
}

/// Prints the nanoseconds of the median round trip and of the quickest.
async fn ping(dir: &Path, address: SocketAddr, count: usize) -> Result<()> {
    let endpoint = Endpoint::client(SocketAddr::from(([0, 0, 0, 0], 0)))?;
    let connection = endpoint.connect_with(configs(dir)?.0, address, "node.invalid")?.await?;
    // On a worker, as everywhere in the mesh.
    let mut pinging = JoinSet::new();
    pinging.spawn({
        let connection = connection.clone();
        async move {
            let mut times = Vec::new();
            for _ in 0..count {
                let began = Instant::now();
                connection.send_datagram(Bytes::from_static(&[b'x'; DATAGRAM_BYTES]))?;
                connection.read_datagram().await?;
                times.push(began.elapsed().as_nanos());
            }
            Result::Ok(times)
        }
    });
    let mut times = pinging.join_next().await.ok_or("it was spawned just now")???;
    times.sort_unstable();
    println!("{} {}", times[times.len() / 2], times[0]);
    connection.close(VarInt::from_u32(0), b"");
    endpoint.wait_idle().await;
    Ok(())
}

fn configs(dir: &Path) -> Result<(ClientConfig, ServerConfig)> {
    let mut transport = TransportConfig::default();
    transport.stream_receive_window(STREAM_WINDOW.into()).send_window(STREAM_WINDOW.into());
    let transport = Arc::new(transport);
    let pki = Pki::open(dir)?;
    let own = Renewable::new(&pki.issue_client("peer", None)?)?;
    let (client, server) = peer_configs(pki.ca_pem(), &own, PROTOCOL)?;
    let mut client = ClientConfig::new(Arc::new(QuicClientConfig::try_from(client)?));
    client.transport_config(transport.clone());
    let mut server = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(server)?));
    server.transport_config(transport);
    Ok((client, server))
}
