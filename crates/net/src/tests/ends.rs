//! How connections end.

use std::io::ErrorKind;

use proptest::prelude::*;

use coracle_runtime::network::Account;

use super::*;

fn ends() -> (Stream, Stream) {
    let (a, b) = pipe(at("10.0.0.1:1"), at("10.0.0.2:2"));
    (Box::new(a), Box::new(b))
}

#[tokio::test]
async fn a_half_close_leaves_the_other_half_open() {
    let (mut client, mut server) = ends();
    says(&mut client, "question").await;
    client.shutdown().await.unwrap();
    hears(&mut server, "question").await;
    hears_the_end(&mut server).await;
    assert_eq!(client.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    says(&mut server, "answer").await;
    drop(server);
    hears(&mut client, "answer").await;
    hears_the_end(&mut client).await;
}

#[tokio::test]
async fn closing_with_unread_bytes_resets() {
    let (mut client, mut server) = ends();
    says(&mut client, "unread").await;
    says(&mut server, "last words").await;
    drop(server);
    hears(&mut client, "last words").await;
    hears_a_reset(&mut client).await;
    assert_eq!(client.write(b"more").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_writer_waits_for_its_reader() {
    let (mut client, mut server) = ends();
    let mut n_accepted = 0;
    while let Some(written) = futures::FutureExt::now_or_never(client.write(&[7; 10_000])) {
        n_accepted += written.unwrap();
    }
    assert_eq!(n_accepted, 128 * 1024);
    let mut received = vec![0; n_accepted + 5];
    let (written, read) = tokio::join!(client.write_all(b"after"), server.read_exact(&mut received));
    written.unwrap();
    read.unwrap();
    assert_eq!(&received[n_accepted..], b"after");
}

#[tokio::test]
async fn who_waits_is_woken_by_the_end() {
    let (mut client, server) = ends();
    let read = async { client.read(&mut [0]).await.unwrap() };
    let (n_read, ()) = tokio::join!(read, async { drop(server) });
    assert_eq!(n_read, 0);

    let (mut client, server) = ends();
    let write = async { client.write_all(&vec![0; 1 << 20]).await.unwrap_err().kind() };
    let (error, ()) = tokio::join!(write, async { drop(server) });
    assert_eq!(error, ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn a_pods_removal_resets_its_connections() {
    let node = node(1);
    let (client, server) = (pod(&node, "10.244.1.2"), pod(&node, "10.244.1.3"));
    let listener = listen(&server, "0.0.0.0:80");
    let (mut near, mut far) = connect(&client, &*listener, "10.244.1.3:80").await;
    says(&mut far, "last words").await;
    drop(server);
    hears(&mut near, "last words").await;
    hears_a_reset(&mut near).await;
    hears_a_reset(&mut far).await;
    assert_eq!(listener.accept().await.err(), Some(NetworkError::ConnectionAborted));
    assert_eq!(outcome(&client, "10.244.1.3:80").await, Err(NetworkError::RemoteUnreachable));
}

#[tokio::test]
async fn what_nobody_accepted_is_reset() {
    let node = node(1);
    let (client, server) = (pod(&node, "10.244.1.2"), pod(&node, "10.244.1.3"));
    let listener = listen(&server, "0.0.0.0:80");
    let mut near = client.connect(None, at("10.244.1.3:80")).await.unwrap();
    drop(listener);
    hears_a_reset(&mut near).await;
}

proptest! {
    #[test]
    fn bytes_arrive_once_and_in_order(
        sizes in prop::collection::vec(0..40_000usize, 1..40),
        read_size in 1..50_000usize,
    ) {
        let sent: Vec<u8> = (0..sizes.iter().sum()).map(|idx: usize| (idx % 251) as u8).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let received = runtime.block_on(async {
            let (mut client, mut server) = ends();
            let write = async {
                let mut left = &sent[..];
                for size in &sizes {
                    let (now, later) = left.split_at(*size);
                    client.write_all(now).await.unwrap();
                    left = later;
                }
                client.shutdown().await.unwrap();
            };
            let read = async {
                let (mut received, mut buffer) = (Vec::new(), vec![0; read_size]);
                while let n @ 1.. = server.read(&mut buffer).await.unwrap() {
                    received.extend_from_slice(&buffer[..n]);
                }
                received
            };
            tokio::join!(write, read).1
        });
        prop_assert_eq!(received, sent);
    }
}

#[tokio::test]
async fn who_has_no_memory_for_what_waits_is_held_up_until_it_is_read() {
    let node = node(1);
    let (client, server) = (pod(&node, "10.244.1.2"), pod(&node, "10.244.1.3"));
    let listener = listen(&server, "0.0.0.0:80");
    let (mut near, mut far) = connect(&client, &*listener, "10.244.1.3:80").await;
    let account = Account::new(Some(32 << 10));
    near.charge_to(account.clone());
    let text = vec![7; 300 << 10];
    let write = async {
        for piece in text.chunks(10_000) {
            near.write_all(piece).await.unwrap();
        }
        near.shutdown().await.unwrap();
    };
    let mut write = Box::pin(write);
    assert!(futures::poll!(&mut write).is_pending());
    assert!((20 << 10..=32 << 10).contains(&account.used()), "{}", account.used());
    let mut read = Vec::new();
    tokio::join!(write, async { far.read_to_end(&mut read).await.unwrap() });
    assert_eq!((read.len(), account.used()), (text.len(), 0));
}

#[tokio::test]
async fn what_is_never_read_is_given_back_with_its_connection() {
    let node = node(1);
    let (client, server) = (pod(&node, "10.244.1.2"), pod(&node, "10.244.1.3"));
    let listener = listen(&server, "0.0.0.0:80");
    let (mut near, far) = connect(&client, &*listener, "10.244.1.3:80").await;
    let account = Account::new(None);
    near.charge_to(account.clone());
    near.write_all(&[7; 100 << 10]).await.unwrap();
    assert_eq!(account.used(), 84 << 10);
    drop((near, far));
    assert_eq!(account.used(), 0);
}
