//! Guests built from plain `std::net`, on a network that is not the host's.

use std::sync::Arc;

use coracle_runtime::network::{Network, Stream};
use coracle_runtime::{Exit, Runtime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::host::{Fabric, Host, Running, load, runtime, start, with_name};

async fn echo(runtime: &Runtime, host: &Arc<Host>) -> Running {
    let module = load(runtime, "echo-tcp").await;
    let echo = start(runtime, &module, host, |spec| spec.args = with_name("echo-tcp", &["7"]));
    echo.output.shows("listening on").await;
    echo
}

async fn netcat(runtime: &Runtime, host: &Arc<Host>, args: &[&str]) -> (Exit, String) {
    let module = load(runtime, "netcat").await;
    let netcat = start(runtime, &module, host, |spec| spec.args = with_name("netcat", args));
    (netcat.exit().await, netcat.output.text())
}

#[tokio::test]
async fn two_guests_talk_over_their_own_addresses() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let (server, client) = (fabric.host(1, "echo.default.svc"), fabric.host(2, "client"));
    let echo = echo(&runtime, &server).await;
    assert!(echo.output.text().contains("10.0.0.1:7"), "{}", echo.output.text());
    for to in ["10.0.0.1:7", "echo.default.svc:7"] {
        let (exit, text) = netcat(&runtime, &client, &["tcp", to, "ahoy"]).await;
        assert_eq!(exit, Exit::Code(0), "{text}");
        assert_eq!(text, "from 10.0.0.2 to 10.0.0.1:7\nahoy\n");
    }
}

#[tokio::test]
async fn what_cannot_be_reached_is_an_ordinary_error() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let client = fabric.host(2, "client");
    let (exit, text) = netcat(&runtime, &client, &["tcp", "10.0.0.9:7", "ahoy"]).await;
    assert_eq!(exit, Exit::Code(1));
    assert!(text.starts_with("ConnectionRefused"), "{text}");
    let (exit, text) = netcat(&runtime, &client, &["resolve", "no.such.name"]).await;
    assert_eq!(exit, Exit::Code(1));
    assert!(text.contains("lookup") || text.contains("Name"), "{text}");
    let (exit, text) = netcat(&runtime, &client, &["resolve", "client"]).await;
    assert_eq!((exit, text.as_str()), (Exit::Code(0), "10.0.0.2\n"));
}

#[tokio::test]
async fn datagrams_come_back_to_who_sent_them() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let (server, client) = (fabric.host(1, "server"), fabric.host(2, "client"));
    let module = load(&runtime, "netcat").await;
    let listening = start(&runtime, &module, &server, |spec| spec.args = with_name("netcat", &["listen-udp", "53"]));
    listening.output.shows("listening on 10.0.0.1:53").await;
    let (exit, text) = netcat(&runtime, &client, &["udp", "server:53", "ahoy"]).await;
    assert_eq!((exit, text.as_str()), (Exit::Code(0), "ahoy\n"));
}

async fn dial(host: &Arc<Host>) -> Stream {
    host.connect(None, "10.0.0.1:7".parse().unwrap()).await.unwrap()
}

#[tokio::test]
async fn a_megabyte_passes_through_a_stream_that_takes_little_at_a_time() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let _echo = echo(&runtime, &fabric.host(1, "echo")).await;
    let sent: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_le_bytes).collect();
    let (mut reader, mut writer) = tokio::io::split(dial(&fabric.host(2, "client")).await);
    let mut received = Vec::new();
    let send = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let (_, read) = tokio::join!(send, reader.read_to_end(&mut received));
    read.unwrap();
    assert!(received == sent, "{} of {} bytes came back", received.len(), sent.len());
}

#[tokio::test]
async fn connections_are_served_side_by_side() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let _echo = echo(&runtime, &fabric.host(1, "echo")).await;
    let client = fabric.host(2, "client");
    let (mut first, mut second) = (dial(&client).await, dial(&client).await);
    for text in ["one", "two", "three"] {
        for stream in [&mut first, &mut second] {
            stream.write_all(text.as_bytes()).await.unwrap();
            let mut answer = vec![0; text.len()];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, text.as_bytes());
        }
    }
}

#[tokio::test]
async fn a_listener_learns_that_its_container_is_to_end() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let echo = echo(&runtime, &fabric.host(1, "echo")).await;
    echo.container.terminate();
    assert_eq!(echo.exit().await, Exit::Code(0));
    assert!(echo.output.text().contains("no longer listening"), "{}", echo.output.text());
    let refused = fabric.host(2, "client").connect(None, "10.0.0.1:7".parse().unwrap()).await;
    assert!(refused.is_err());
}

#[tokio::test]
async fn an_address_belongs_to_one_listener_and_to_this_host() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let host = fabric.host(1, "echo");
    let _echo = echo(&runtime, &host).await;
    let module = load(&runtime, "echo-tcp").await;
    let second = start(&runtime, &module, &host, |spec| spec.args = with_name("echo-tcp", &["7"]));
    assert_eq!(second.exit().await, Exit::Code(1));
    assert!(second.output.text().contains("AddrInUse"), "{}", second.output.text());
}

/// The same of WASI 0.3, where what a connection brings is a stream that goes back out as it is.
async fn echo_3(runtime: &Runtime, host: &Arc<Host>) -> Running {
    let module = load(runtime, "echo-p3").await;
    let echo = start(runtime, &module, host, |spec| spec.args = with_name("echo-p3", &["7"]));
    echo.output.shows("listening on 7").await;
    echo
}

#[tokio::test]
async fn sockets_of_0_3_are_those_of_0_2() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let _echo = echo_3(&runtime, &fabric.host(1, "echo")).await;
    let client = fabric.host(2, "client");
    let (exit, text) = netcat(&runtime, &client, &["tcp", "10.0.0.1:7", "ahoy"]).await;
    assert_eq!((exit, text.as_str()), (Exit::Code(0), "from 10.0.0.2 to 10.0.0.1:7\nahoy\n"));
    let (exit, text) = netcat(&runtime, &client, &["udp", "10.0.0.1:7", "ahoy"]).await;
    assert_eq!((exit, text.as_str()), (Exit::Code(0), "ahoy\n"));
    let sent: Vec<u8> = (0..1u32 << 18).flat_map(u32::to_le_bytes).collect();
    let (mut reader, mut writer) = tokio::io::split(dial(&client).await);
    let mut received = Vec::new();
    let send = async {
        writer.write_all(&sent).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let (_, read) = tokio::join!(send, reader.read_to_end(&mut received));
    read.unwrap();
    assert!(received == sent, "{} of {} bytes came back", received.len(), sent.len());
}

#[tokio::test]
async fn a_listener_of_0_3_ends_with_its_container_and_what_was_begun_goes_on() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let echo = echo_3(&runtime, &fabric.host(1, "echo")).await;
    let client = fabric.host(2, "client");
    let mut begun = dial(&client).await;
    // It has been accepted once it answers.
    let mut answer = [0; 4];
    for text in [b"ahoy", b"late"] {
        begun.write_all(text).await.unwrap();
        begun.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, text);
        echo.container.terminate();
        echo.output.shows("no longer listening").await;
    }
    assert!(client.connect(None, "10.0.0.1:7".parse().unwrap()).await.is_err());
    begun.shutdown().await.unwrap();
    assert_eq!(echo.exit().await, Exit::Code(0));
}
