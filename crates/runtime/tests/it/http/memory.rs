//! What the host holds for a server counts as its memory.

use tokio::io::AsyncReadExt;

use super::*;

const KIB: u64 = 1 << 10;

#[tokio::test]
async fn an_answer_counts_until_its_client_has_taken_it() {
    let runtime = runtime();
    let fabrics = [Fabric::new(), Fabric::new()];
    let mut held = Vec::new();
    for (fabric, path) in fabrics.iter().zip(["/stall", "/drip"]) {
        let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), |_| {}).await;
        let mut client = Client::new(&fabric.host(2, "client")).await;
        let answer = client.send(path, Full::<Bytes>::default()).await;
        held.push((server, client, answer));
    }
    let holds = |n: usize| held[n].0.container.usage().memory_bytes;
    while holds(1) < holds(0) + 12 * KIB {
        tokio::task::yield_now().await;
    }
    assert!(holds(1) < holds(0) + 256 * KIB, "{} beside {}", holds(1), holds(0));
    for (server, client, answer) in held {
        drop((client, answer));
        server.container.terminate();
        server.container.kill();
        server.exit().await;
        while server.container.usage().memory_bytes > 0 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn connections_count_and_those_without_room_are_closed() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let limited = |spec: &mut ContainerSpec| spec.memory_max = Some(64 * KIB);
    let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), limited).await;
    let client = fabric.host(2, "client");
    let mut streams = Vec::new();
    for n in 1..=4 {
        streams.push(client.connect(None, "10.0.0.1:80".parse().unwrap()).await.unwrap());
        while server.container.usage().memory_bytes < n * 16 * KIB {
            tokio::task::yield_now().await;
        }
    }
    let mut fifth = client.connect(None, "10.0.0.1:80".parse().unwrap()).await.unwrap();
    assert_eq!(fifth.read(&mut [0]).await.unwrap(), 0);
    drop(streams);
    while server.container.usage().memory_bytes > 0 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_request_for_which_there_is_no_memory_is_turned_away() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let limited = |spec: &mut ContainerSpec| spec.memory_max = Some(64 * KIB);
    let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), limited).await;
    let answer = get(&fabric.host(2, "client"), "/count").await;
    assert_eq!(answer.0, StatusCode::SERVICE_UNAVAILABLE);
    server.output.shows(" failed: memory limit of 65536 bytes exceeded").await;
}
