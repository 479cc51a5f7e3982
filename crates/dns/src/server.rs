//! The names over UDP and TCP, for who is no guest. What is not the cluster's is asked of the upstream servers, as it came.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use coracle_stdx::{CancellationToken, Scope};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;
use tracing::{debug, warn};

use crate::cluster_names::Current;
use crate::message::{self, Outcome, Transport};
use crate::zone::Zone;

/// Queries by datagram that are answered at one time. The others wait in the kernel, or are lost.
const QUERIES_MAX: usize = 1024;
const CONNECTIONS_MAX: usize = 256;
/// How long a connection may be silent.
const IDLE: Duration = Duration::from_secs(10);
/// How long one upstream server may take.
const UPSTREAM: Duration = Duration::from_secs(3);
const DATAGRAM_MAX: usize = 4096;
const PORT: u16 = 53;

/// A server of names that is bound.
#[derive(Debug)]
pub struct Server {
    udp: Arc<UdpSocket>,
    tcp: TcpListener,
    asked: Arc<Asked>,
}

#[derive(Debug)]
struct Asked {
    zone: Arc<Current>,
    upstream: Vec<SocketAddr>,
}

impl Server {
    pub(crate) async fn bind(address: SocketAddr, zone: Arc<Current>, upstream: Vec<SocketAddr>) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        let udp = UdpSocket::bind(tcp.local_addr()?).await?;
        Ok(Self { udp: Arc::new(udp), tcp, asked: Arc::new(Asked { zone, upstream }) })
    }

    /// Where it listens.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    /// Answers until `token` is cancelled.
    pub async fn run(self, token: CancellationToken) {
        let Self { udp, tcp, asked } = self;
        let mut scope = Scope::<Infallible>::child_of(&token);
        let datagrams = asked.clone();
        scope.spawn(|token| async move {
            datagrams.serve_udp(udp, token).await;
            Ok(())
        });
        scope.spawn(|token| async move {
            asked.serve_tcp(tcp, token).await;
            Ok(())
        });
        let Ok(()) = scope.join().await;
    }
}

impl Asked {
    async fn serve_udp(self: Arc<Self>, socket: Arc<UdpSocket>, token: CancellationToken) {
        let mut queries = Scope::<Infallible>::child_of(&token);
        let mut buffer = vec![0; DATAGRAM_MAX];
        loop {
            tokio::select! {
                () = token.cancelled() => break,
                received = socket.recv_from(&mut buffer), if queries.len() < QUERIES_MAX => match received {
                    Ok((len, client)) => {
                        let (asked, socket, query) = (self.clone(), socket.clone(), buffer[..len].to_vec());
                        queries.spawn(|_| async move {
                            if let Some(reply) = asked.answer(query, Transport::Udp).await {
                                // A client that has gone does not mind.
                                drop(socket.send_to(&reply, client).await);
                            }
                            Ok(())
                        });
                    }
                    Err(error) => debug!(%error, "a query was not received"),
                },
                Some(Ok(())) = queries.join_next(), if !queries.is_empty() => {}
            }
        }
        let Ok(()) = queries.join().await;
    }

    async fn serve_tcp(self: Arc<Self>, listener: TcpListener, token: CancellationToken) {
        let mut connections = Scope::<Infallible>::child_of(&token);
        loop {
            tokio::select! {
                () = token.cancelled() => break,
                accepted = listener.accept(), if connections.len() < CONNECTIONS_MAX => match accepted {
                    Ok((stream, _)) => {
                        let asked = self.clone();
                        connections.spawn(|token| async move {
                            if let Some(Err(error)) = token.run_until_cancelled(asked.converse(stream)).await {
                                debug!(%error, "a connection ended early");
                            }
                            Ok(())
                        });
                    }
                    Err(error) => {
                        warn!(%error, "could not accept");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                },
                Some(Ok(())) = connections.join_next(), if !connections.is_empty() => {}
            }
        }
        let Ok(()) = connections.join().await;
    }

    async fn converse(&self, mut stream: TcpStream) -> io::Result<()> {
        while let Some(query) = timeout(IDLE, read_message(&mut stream)).await?? {
            if let Some(reply) = self.answer(query, Transport::Tcp).await {
                write_message(&mut stream, &reply).await?;
            }
        }
        Ok(())
    }

    async fn answer(&self, query: Vec<u8>, transport: Transport) -> Option<Vec<u8>> {
        answer(&self.zone.load(), &self.upstream, &query, transport).await
    }
}

/// What the zone says, or else the first of `upstream` that answers.
pub(crate) async fn answer(
    zone: &Zone,
    upstream: &[SocketAddr],
    query: &[u8],
    transport: Transport,
) -> Option<Vec<u8>> {
    match message::answer(zone, query, transport) {
        Outcome::Answer(reply) => Some(reply),
        Outcome::Nothing => None,
        Outcome::Forward { otherwise } => {
            for server in upstream {
                match timeout(UPSTREAM, ask(*server, query, transport)).await {
                    Ok(Ok(reply)) => return Some(reply),
                    outcome => debug!(%server, ?outcome, "upstream did not answer"),
                }
            }
            Some(otherwise)
        }
    }
}

/// Asks another server the same.
async fn ask(server: SocketAddr, query: &[u8], transport: Transport) -> io::Result<Vec<u8>> {
    match transport {
        Transport::Udp => {
            let any: IpAddr = if server.is_ipv4() { [0, 0, 0, 0].into() } else { [0; 16].into() };
            let socket = UdpSocket::bind((any, 0)).await?;
            socket.connect(server).await?;
            socket.send(query).await?;
            let mut buffer = vec![0; usize::from(u16::MAX)];
            loop {
                let len = socket.recv(&mut buffer).await?;
                // Another id is the answer to somebody else's question.
                if buffer[..len].get(..2) == query.get(..2) {
                    return Ok(buffer[..len].to_vec());
                }
            }
        }
        Transport::Tcp => {
            let mut stream = TcpStream::connect(server).await?;
            write_message(&mut stream, query).await?;
            read_message(&mut stream).await?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        }
    }
}

/// The next message of a stream; `None` at its end.
async fn read_message(stream: &mut TcpStream) -> io::Result<Option<Vec<u8>>> {
    let len = match stream.read_u16().await {
        Ok(len) => len,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut message = vec![0; usize::from(len)];
    stream.read_exact(&mut message).await?;
    Ok(Some(message))
}

async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let len = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    let mut framed = len.to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    stream.write_all(&framed).await
}

/// The servers that this machine asks, as its `resolv.conf` names them.
pub fn upstream_of(resolv_conf: &str, but: SocketAddr) -> Vec<SocketAddr> {
    let named = resolv_conf.lines().filter_map(|line| line.split_once("nameserver"));
    let named = named.filter(|(before, _)| before.trim().is_empty());
    let servers = named.filter_map(|(_, ip)| Some(SocketAddr::new(ip.trim().parse().ok()?, PORT)));
    servers.filter(|server| *server != but).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_own_servers_are_asked_but_never_ourselves() {
        let conf =
            "search x\nnameserver 192.0.2.1\n# nameserver 192.0.2.9\nnameserver\t127.0.0.1\nnameserver fd00::1\n";
        let asked = upstream_of(conf, "127.0.0.1:53".parse().unwrap());
        assert_eq!(asked.iter().map(ToString::to_string).collect::<Vec<_>>(), ["192.0.2.1:53", "[fd00::1]:53"]);
    }

    /// Asks `server` over UDP or TCP; the answer's code and its id.
    async fn ask_for(server: SocketAddr, name: &str, transport: Transport) -> (u8, u8) {
        let mut query = vec![0, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            query.push(u8::try_from(label.len()).unwrap());
            query.extend_from_slice(label.as_bytes());
        }
        query.extend([0, 0, 1, 0, 1]);
        let reply = ask(server, &query, transport).await.unwrap();
        (reply[3] & 15, reply[1])
    }

    #[tokio::test]
    async fn both_transports_answer_and_pass_on_what_is_not_the_clusters() {
        let token = CancellationToken::new();
        let mut scope = Scope::<Infallible>::child_of(&token);
        let mut start = async |domain: &str, upstream| {
            let zone = Arc::new(Current::new(Zone::empty(domain)));
            let server = Server::bind("127.0.0.1:0".parse().unwrap(), zone, upstream).await.unwrap();
            let address = server.address().unwrap();
            scope.spawn(|token| async move {
                server.run(token).await;
                Ok(())
            });
            address
        };
        let upstream = start("example.com", Vec::new()).await;
        let server = start("cluster.local", vec![upstream]).await;
        for transport in [Transport::Udp, Transport::Tcp] {
            assert_eq!(ask_for(server, "a.b.svc.cluster.local", transport).await, (3, 9));
            assert_eq!(ask_for(server, "a.b.svc.example.com", transport).await, (3, 9));
            assert_eq!(ask_for(server, "elsewhere.org", transport).await, (2, 9));
        }
        scope.cancel();
        let Ok(()) = scope.join().await;
    }
}
