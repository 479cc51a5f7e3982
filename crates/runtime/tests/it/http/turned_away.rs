//! Requests for which there is no room, and requests that fail: what their clients and the log learn.

use super::*;

#[tokio::test]
async fn what_the_queue_does_not_hold_is_turned_away() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let host = fabric.host(1, "server");
    let server = serve(&runtime, "crasher-http", &host, |spec| {
        (spec.requests_max, spec.requests_queued_max) = (1, 1);
    });
    let server = server.await;
    let client = fabric.host(2, "client");
    let (mut first, mut second) = (Client::new(&client).await, Client::new(&client).await);
    let in_work = async {
        tokio::join!(first.send("/sleep", Full::<Bytes>::default()), second.send("/sleep", Full::<Bytes>::default()))
    };
    let refused = async {
        until(&server, |requests| (requests.in_flight, requests.queued) == (1, 1)).await;
        Client::new(&client).await.send("/count", Full::<Bytes>::default()).await
    };
    let response = tokio::select! {
        answers = in_work => panic!("they answered {answers:?}"),
        response = refused => response,
    };
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()["retry-after"], "1");
    assert_eq!(server.container.requests().unwrap().n_refused, 1);
}

#[tokio::test]
async fn a_queued_request_gets_its_turn() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), |spec| spec.requests_max = 1).await;
    let client = fabric.host(2, "client");
    let (mut sender, receiver) = mpsc::channel(1);
    let body = StreamBody::new(receiver.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes))));
    let mut first = Client::new(&client).await;
    let mut second = Client::new(&client).await;
    let finish = async {
        until(&server, |requests| requests.queued == 1).await;
        sender.send(Bytes::from_static(b"done")).await.unwrap();
        drop(sender);
    };
    let in_turn = async {
        until(&server, |requests| requests.in_flight == 1).await;
        count(&mut second).await
    };
    let (first, second, ()) = tokio::join!(async { text(first.send("/echo", body).await).await }, in_turn, finish);
    assert_eq!((first.1.as_str(), second.as_str()), ("done", "1\n"));
    server.container.terminate();
    assert_eq!(server.exit().await, Exit::Code(0));
}

#[tokio::test]
async fn a_failed_request_has_one_id_in_its_answer_and_in_the_log() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), |_| {}).await;
    let mut client = Client::new(&fabric.host(2, "client")).await;
    let response = client.send("/panic", Full::<Bytes>::default()).await;
    let id = response.headers()["x-request-id"].to_str().unwrap().to_owned();
    let answer = text(response).await;
    assert_eq!(answer, (StatusCode::BAD_GATEWAY, format!("the guest failed (request {id})\n")));
    server.output.shows(&format!("request {id} failed: wasm `unreachable` instruction executed\n0: ")).await;

    let request = Request::get("/panic").header("host", "server").header("x-request-id", "checkout-7");
    let response = client.sender.send_request(request.body(Full::default()).unwrap()).await.unwrap();
    assert_eq!(response.headers()["x-request-id"], "checkout-7");
    server.output.shows("request checkout-7 failed: ").await;
}

#[tokio::test]
async fn a_failed_request_leaves_a_core_dump_and_its_server_goes_on() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), |_| {}).await;
    let client = fabric.host(2, "client");
    assert_eq!(get(&client, "/panic").await.0, StatusCode::BAD_GATEWAY);
    is_core_dump(&server.container.coredump().await);
    // Another one shortly after leaves none: a storm of them must cost nobody much.
    assert_eq!(get(&client, "/panic").await.0, StatusCode::BAD_GATEWAY);
    assert_eq!(server.container.take_coredump(), None);
    assert_eq!(get(&client, "/count").await, (StatusCode::OK, "1\n".into()));
}

#[tokio::test]
async fn an_answer_that_fails_halfway_does_not_look_complete() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), |_| {}).await;
    let mut client = Client::new(&fabric.host(2, "client")).await;
    let response = client.send("/half", Full::<Bytes>::default()).await;
    let is_told = response.status() == StatusCode::BAD_GATEWAY;
    assert!(is_told || response.into_body().collect().await.is_err());
    server.output.shows(" failed: wasm `unreachable` instruction executed").await;
}

#[tokio::test]
async fn requests_are_counted() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), |_| {}).await;
    let client = fabric.host(2, "client");
    assert_eq!(get(&client, "/count").await.0, StatusCode::OK);
    assert_eq!(get(&client, "/panic").await.0, StatusCode::BAD_GATEWAY);
    let requests = server.container.requests().unwrap();
    assert_eq!((requests.n_answers, requests.n_failed), ([0, 1, 0, 0, 1], 1));
    assert_eq!(requests.latency.n_by_bucket.iter().sum::<u64>(), 2);
    assert!(requests.bytes_in > 50 && requests.bytes_out > 100 && requests.latency.sum_ns > 0);
}
