//! Sends back what it receives over TCP and UDP, on WASI 0.3, at the port given as its argument, or 7. Once it no longer
//! listens, it finishes what its clients have begun.

use std::future::IntoFuture;
use std::pin::pin;

use futures::future::{Either, select};
use futures::stream::{FuturesUnordered, StreamExt};
use wasip3::exports::cli::run::Guest;
use wasip3::sockets::types::{ErrorCode, IpAddressFamily, IpSocketAddress, Ipv4SocketAddress, TcpSocket, UdpSocket};
use wasip3::wit_bindgen::StreamReader;

wasip3::cli::command::export!(Echo);

struct Echo;

impl Guest for Echo {
    async fn run() -> Result<(), ()> {
        let port = std::env::args().nth(1).and_then(|port| port.parse().ok()).unwrap_or(7);
        match serve(port).await {
            Ok(()) => Ok(()),
            Err(error) => {
                println!("{error:?}");
                Err(())
            }
        }
    }
}

async fn serve(port: u16) -> Result<(), ErrorCode> {
    let local = IpSocketAddress::Ipv4(Ipv4SocketAddress { port, address: (0, 0, 0, 0) });
    let datagrams = UdpSocket::create(IpAddressFamily::Ipv4)?;
    datagrams.bind(local)?;
    let listener = TcpSocket::create(IpAddressFamily::Ipv4)?;
    listener.bind(local)?;
    let connections = listener.listen()?;
    println!("listening on {port}");
    let (udp, tcp) = (pin!(echo_datagrams(&datagrams)), pin!(echo_connections(connections)));
    match select(udp, tcp).await {
        Either::Left((ended, _)) => ended,
        Either::Right(((), _)) => Ok(()),
    }
}

async fn echo_datagrams(socket: &UdpSocket) -> Result<(), ErrorCode> {
    loop {
        let (datagram, from) = socket.receive().await?;
        socket.send(datagram, Some(from)).await?;
    }
}

async fn echo_connections(mut connections: StreamReader<TcpSocket>) {
    let mut echoes = FuturesUnordered::new();
    let mut listens = true;
    while listens || !echoes.is_empty() {
        let ended = async {
            match echoes.is_empty() {
                true => std::future::pending().await,
                false => echoes.next().await,
            }
        };
        if !listens {
            ended.await;
            continue;
        }
        let accepted = match select(pin!(connections.next()), pin!(ended)).await {
            Either::Left((accepted, _)) => accepted,
            Either::Right(_) => continue,
        };
        match accepted {
            Some(client) => echoes.push(echo(client)),
            None => {
                println!("no longer listening");
                listens = false;
            }
        }
    }
}

/// What comes in is what goes out.
async fn echo(client: TcpSocket) {
    let (received, end) = client.receive();
    let sent = client.send(received);
    if let (Err(error), _) | (_, Err(error)) = futures::join!(sent.into_future(), end.into_future()) {
        println!("{error:?}");
    }
}
