//! Instances that answer more than one request.

use std::num::NonZeroU32;
use std::time::Duration;

use super::*;

fn at_most(n: u32) -> impl FnOnce(&mut ContainerSpec) {
    move |spec| spec.instance_requests_max = NonZeroU32::new(n).unwrap()
}

#[tokio::test]
async fn an_instance_answers_as_many_requests_as_it_may_in_0_2_and_0_3() {
    let runtime = runtime();
    for name in ["crasher-http", "hello-http-p3"] {
        let fabric = Fabric::new();
        let server = serve(&runtime, name, &fabric.host(1, "server"), at_most(3)).await;
        let mut client = Client::new(&fabric.host(2, "client")).await;
        for expected in ["1\n", "2\n", "3\n", "1\n", "2\n"] {
            assert_eq!(count(&mut client).await, expected, "{name}");
        }
        assert_eq!(server.container.usage().n_instances, 1, "{name}");
        server.container.terminate();
        assert_eq!(server.exit().await, Exit::Code(0));
    }
}

#[tokio::test]
async fn an_instance_that_trapped_never_answers_again() {
    let runtime = runtime();
    for name in ["crasher-http", "hello-http-p3"] {
        let fabric = Fabric::new();
        let _server = serve(&runtime, name, &fabric.host(1, "server"), at_most(100)).await;
        let mut client = Client::new(&fabric.host(2, "client")).await;
        assert_eq!([count(&mut client).await, count(&mut client).await], ["1\n", "2\n"], "{name}");
        let failed = client.send("/panic", Full::default()).await;
        assert_eq!(text(failed).await.0, StatusCode::BAD_GATEWAY);
        assert_eq!(count(&mut client).await, "1\n", "{name}");
    }
}

#[tokio::test]
async fn an_instance_that_took_too_long_never_answers_again() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let host = fabric.host(1, "server");
    let server = serve(&runtime, "crasher-http", &host, |spec| {
        at_most(100)(spec);
        spec.request_time_max = Some(Duration::from_millis(200));
    });
    let _server = server.await;
    let mut client = Client::new(&fabric.host(2, "client")).await;
    assert_eq!(count(&mut client).await, "1\n");
    assert_eq!(text(client.send("/sleep", Full::default()).await).await.0, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(count(&mut client).await, "1\n");
}

#[tokio::test]
async fn limits_hold_for_an_instance_however_often_it_answers() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let host = fabric.host(1, "server");
    let server = serve(&runtime, "crasher-http", &host, |spec| {
        at_most(100)(spec);
        spec.memory_max = Some(16 << 20);
    });
    let server = server.await;
    let mut client = Client::new(&fabric.host(2, "client")).await;
    let mut n_kept = 0;
    let mut cpu_ns = 0;
    while text(client.send("/keep", Full::default()).await).await.0 == StatusCode::OK {
        let usage = server.container.usage();
        assert!(usage.memory_bytes <= 16 << 20 && usage.cpu_ns > cpu_ns);
        (n_kept, cpu_ns) = (n_kept + 1, usage.cpu_ns);
    }
    assert!((8..16).contains(&n_kept), "{n_kept}");
    server.output.shows(" failed: memory limit of 16777216 bytes exceeded").await;
    assert_eq!(count(&mut client).await, "1\n");
}

#[tokio::test]
async fn requests_at_a_time_meet_instances_of_their_own() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), at_most(100)).await;
    let client = fabric.host(2, "client");
    let mut first = Client::new(&client).await;
    let mut sleeping = Box::pin(first.send("/sleep", Full::<Bytes>::default()));
    tokio::select! {
        response = &mut sleeping => panic!("it answered {response:?}"),
        () = until(&server, |requests| requests.in_flight == 1) => {}
    }
    let mut second = Client::new(&client).await;
    assert_eq!([count(&mut second).await, count(&mut second).await], ["1\n", "2\n"]);
    assert_eq!(server.container.usage().n_instances, 2);
}

#[tokio::test(start_paused = true)]
async fn an_instance_without_work_is_let_go_after_a_while() {
    let (runtime, fabric) = (runtime(), Fabric::new());
    let server = serve(&runtime, "crasher-http", &fabric.host(1, "server"), at_most(100)).await;
    let mut client = Client::new(&fabric.host(2, "client")).await;
    assert_eq!(count(&mut client).await, "1\n");
    assert_eq!(server.container.usage().n_instances, 1);
    while server.container.usage().n_instances > 0 {
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    assert_eq!(count(&mut client).await, "1\n");
}
