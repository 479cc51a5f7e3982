//! How long a guest, and how long a client, may take.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

fn within(ms: u64) -> impl FnOnce(&mut ContainerSpec) {
    move |spec| spec.request_time_max = Some(Duration::from_millis(ms))
}

#[tokio::test]
async fn a_request_that_spins_or_sleeps_meets_its_time_limit() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), within(100)).await;
    let client = fabric.host(2, "client");
    assert_eq!(get(&client, "/spin").await.0, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(get(&client, "/sleep").await.0, StatusCode::GATEWAY_TIMEOUT);
    server.output.shows(" failed: it took longer than its time limit").await;
    let requests = server.container.requests().unwrap();
    assert_eq!((requests.n_overdue, requests.n_answers[4], requests.n_instances), (2, 2, 0));
}

#[tokio::test]
async fn an_answer_that_pauses_for_too_long_is_broken_off() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), within(100)).await;
    let mut client = Client::new(&fabric.host(2, "client")).await;
    let response = client.send("/stall", Full::<Bytes>::default()).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.into_body().collect().await.is_err());
    server.output.shows(" failed: it took longer than its time limit").await;
    until(&server, |requests| requests.n_instances == 0).await;
}

#[tokio::test]
async fn a_body_that_does_not_arrive_holds_its_instance_until_the_time_limit_only() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), within(100)).await;
    let mut client = Client::new(&fabric.host(2, "client")).await;
    let (mut sender, receiver) = mpsc::channel(1);
    let body = StreamBody::new(receiver.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes))));
    sender.send(Bytes::from_static(b"half")).await.unwrap();
    assert_eq!(client.send("/echo", body).await.status(), StatusCode::GATEWAY_TIMEOUT);
    until(&server, |requests| requests.n_instances == 0 && requests.in_flight == 0).await;
}

#[tokio::test]
async fn an_answer_may_take_longer_than_the_limit_while_it_goes_on() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), within(1000)).await;
    let mut client = Client::new(&fabric.host(2, "client")).await;
    let response = client.send("/drip", Full::<Bytes>::default()).await;
    let (mut body, began, mut n_bytes) = (response.into_body(), tokio::time::Instant::now(), 0);
    while began.elapsed() < Duration::from_millis(1500) {
        match body.frame().await.unwrap() {
            Ok(frame) => n_bytes += frame.into_data().unwrap().len(),
            Err(error) => panic!("{error:?} after {n_bytes} bytes; {}", server.output.text()),
        }
    }
    assert!(n_bytes > 100_000);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_does_not_hold_its_instance_for_ever() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), |_| {}).await;
    let mut client = Client::new(&fabric.host(2, "client")).await;
    let response = client.send("/drip", Full::<Bytes>::default()).await;
    assert_eq!(response.status(), StatusCode::OK);
    while server.container.usage().n_instances > 0 {
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert!(response.into_body().collect().await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_arrive_costs_its_connection() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), |_| {}).await;
    let client = fabric.host(2, "client");
    let mut stream = client.connect(None, "10.0.0.1:80".parse().unwrap()).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\nho").await.unwrap();
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await.unwrap();
    assert_eq!(server.container.usage().n_requests, 0);
}

#[tokio::test]
async fn a_guest_whose_client_has_gone_learns_it() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), |_| {}).await;
    let mut client = Client::new(&fabric.host(2, "client")).await;
    let response = client.send("/drip", Full::<Bytes>::default()).await;
    drop((response, client));
    server.output.shows("the client has gone").await;
    until(&server, |requests| requests.n_instances == 0).await;
}
