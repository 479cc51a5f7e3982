//! Accepted kernel sockets on their way to a pod.

use tokio::net::{TcpListener, TcpStream};

use super::*;

/// A client on the host's network, and the stream that the node accepted from it.
async fn accepted() -> (TcpStream, Stream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (client, accepted) = tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
    (client.unwrap(), Box::new(HostStream::new(accepted.unwrap().0).unwrap()))
}

#[tokio::test]
async fn a_pod_gets_the_clients_own_stream() {
    let node = node(1);
    let server = pod(&node, "10.244.1.3");
    let listener = listen(&server, "0.0.0.0:80");
    let (mut client, stream) = accepted().await;
    let (handed_over, far) = tokio::join!(node.hand_over(stream, at("10.244.1.3:80")), listener.accept());
    assert!(handed_over.is_ok());
    let mut far = far.unwrap();
    assert_eq!(far.peer_addr(), client.local_addr().unwrap());
    assert_eq!(far.local_addr(), at("10.244.1.3:80"));
    client.write_all(b"ping").await.unwrap();
    hears(&mut far, "ping").await;
    drop(far);
    assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_refused_stream_comes_back_whole() {
    let node = node(1);
    let first = pod(&node, "10.244.1.3");
    let (mut client, stream) = accepted().await;
    client.write_all(b"ping").await.unwrap();
    let Err((stream, error)) = node.hand_over(stream, at("10.244.1.3:80")).await else { panic!("nobody listens") };
    assert_eq!(error, NetworkError::ConnectionRefused);
    let Err((stream, error)) = node.hand_over(stream, at("10.244.1.9:80")).await else { panic!("nobody is there") };
    assert_eq!(error, NetworkError::RemoteUnreachable);

    let closing = listen(&first, "0.0.0.0:80");
    let (returned, ()) = tokio::join!(node.hand_over(stream, at("10.244.1.3:80")), async { drop(closing) });
    let Err((stream, error)) = returned else { panic!("its listener closed") };
    assert_eq!(error, NetworkError::ConnectionRefused);

    let listener = listen(&first, "0.0.0.0:80");
    let (handed_over, far) = tokio::join!(node.hand_over(stream, at("10.244.1.3:80")), listener.accept());
    assert!(handed_over.is_ok());
    hears(&mut far.unwrap(), "ping").await;
}

#[tokio::test]
async fn a_stream_is_handed_over_to_another_node() {
    let (first, second) = (node(1), node(2));
    first.set_routes([("10.244.2.0/24".parse().unwrap(), second.link_from(&first))].into_iter().collect());
    let server = pod(&second, "10.244.2.3");
    let listener = listen(&server, "0.0.0.0:80");
    let (mut client, stream) = accepted().await;
    let (handed_over, far) = tokio::join!(first.hand_over(stream, at("10.244.2.3:80")), listener.accept());
    assert!(handed_over.is_ok());
    let mut far = far.unwrap();
    assert_eq!(far.peer_addr(), client.local_addr().unwrap());
    says(&mut far, "pong").await;
    let mut heard = [0; 4];
    client.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"pong");
}
