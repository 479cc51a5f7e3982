//! An informer against a server whose answers the test writes.

use std::convert::Infallible;
use std::sync::Mutex;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::StreamBody;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::client::Body;
use tokio::sync::mpsc;

use super::*;

type Lines = mpsc::Sender<String>;

/// A server of which the test writes the answers: each watch request comes out with the way to stream lines into it.
fn server() -> (Api<ConfigMap>, mpsc::Receiver<(String, Lines)>) {
    let (requests, received) = mpsc::channel(8);
    let requests = Arc::new(Mutex::new(requests));
    let service = tower::service_fn(move |request: Request<Body>| {
        let requests = requests.lock().unwrap().clone();
        async move {
            let (lines, stream) = mpsc::channel::<String>(16);
            let query = request.uri().query().unwrap_or_default().to_owned();
            requests.send((query, lines)).await.expect("the test receives");
            let frames = futures::stream::unfold(stream, |mut stream| async move {
                let line = stream.recv().await?;
                Some((Ok::<_, Infallible>(http_body::Frame::data(Bytes::from(line + "\n"))), stream))
            });
            Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
        }
    });
    let client = crate::in_process(service, coracle_api::identity::User::default());
    (Api::namespaced(client, "default"), received)
}

fn event(event_type: &str, name: &str, revision: u64) -> String {
    format!(
        r#"{{"type":"{event_type}","object":{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"namespace":"default","name":"{name}","uid":"{name}","resourceVersion":"{revision}","managedFields":[{{}}]}}}}}}"#
    )
}

fn bookmark(revision: u64, annotations: &str) -> String {
    format!(
        r#"{{"type":"BOOKMARK","object":{{"apiVersion":"v1","kind":"ConfigMap","metadata":{{"resourceVersion":"{revision}","annotations":{{{annotations}}}}}}}}}"#
    )
}

fn end_of_list(revision: u64) -> String {
    bookmark(revision, r#""k8s.io/initial-events-end":"true""#)
}

fn expired() -> String {
    r#"{"type":"ERROR","object":{"kind":"Status","status":"Failure","code":410,"reason":"Expired","message":"too old"}}"#
        .to_owned()
}

fn names(informer: &Informer<ConfigMap>) -> Vec<String> {
    informer.list().iter().map(|object| object.metadata.name.clone().unwrap()).collect()
}

async fn until_revision(informer: &Informer<ConfigMap>, revision: u64) {
    let mut changed = informer.changed();
    while informer.revision() < revision {
        changed.changed().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn it_lists_then_follows_then_resumes_where_it_stopped() {
    let (api, mut requests) = server();
    let informer = Informer::new(api).fields("metadata.name!=x");
    let mut scope = Scope::<Infallible>::child_of(&CancellationToken::new());
    informer.start(&mut scope);
    informer.start(&mut scope);

    let (query, lines) = requests.recv().await.unwrap();
    assert!(query.contains("sendInitialEvents=true") && query.contains("fieldSelector=metadata.name%21%3Dx"));
    lines.send(event("ADDED", "a", 3)).await.unwrap();
    lines.send(event("ADDED", "b", 2)).await.unwrap();
    lines.send(end_of_list(7)).await.unwrap();
    informer.synced().await;
    assert_eq!((names(&informer), informer.revision()), (vec!["a".to_owned(), "b".to_owned()], 7));
    assert!(informer.get("default", "a").unwrap().metadata.managed_fields.is_none());

    lines.send(event("DELETED", "a", 8)).await.unwrap();
    lines.send(bookmark(12, "")).await.unwrap();
    until_revision(&informer, 12).await;
    assert_eq!(names(&informer), ["b"]);

    drop(lines);
    let (query, _lines) = requests.recv().await.unwrap();
    assert!(query.contains("resourceVersion=12") && !query.contains("sendInitialEvents"), "{query}");
    scope.cancel();
    scope.join().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_lists_again_when_its_revision_expired() {
    let (api, mut requests) = server();
    let informer = Informer::new(api);
    let mut changes = informer.subscribe();
    let mut scope = Scope::<Infallible>::child_of(&CancellationToken::new());
    informer.start(&mut scope);

    let (_, lines) = requests.recv().await.unwrap();
    lines.send(event("ADDED", "a", 3)).await.unwrap();
    lines.send(end_of_list(3)).await.unwrap();
    assert_eq!(changes.next().await.len(), 1);
    lines.send(expired()).await.unwrap();

    let (query, lines) = requests.recv().await.unwrap();
    assert!(query.contains("sendInitialEvents=true"), "{query}");
    lines.send(event("ADDED", "b", 9)).await.unwrap();
    lines.send(end_of_list(9)).await.unwrap();
    let told: Vec<_> = changes.next().await.into_iter().map(|c| (c.key.name, c.new.is_some())).collect();
    assert_eq!(told, [("a".to_owned(), false), ("b".to_owned(), true)]);
}

#[tokio::test(start_paused = true)]
async fn a_dead_connection_is_given_up() {
    let (api, mut requests) = server();
    let informer = Informer::new(api);
    let mut scope = Scope::<Infallible>::child_of(&CancellationToken::new());
    informer.start(&mut scope);
    let (_, _silent) = requests.recv().await.unwrap();
    assert!(requests.recv().await.is_some(), "it asks again although the first answer never ended");
}

#[tokio::test]
async fn it_begins_with_its_record_while_the_server_is_away_and_then_tells_what_differs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("maps.json");
    let (api, mut requests) = server();
    let first = Informer::new(api).recorded(path.clone());
    let mut scope = Scope::<Infallible>::child_of(&CancellationToken::new());
    first.start(&mut scope);
    let (_, lines) = requests.recv().await.unwrap();
    for name in ["gone", "same"] {
        lines.send(event("ADDED", name, 3)).await.unwrap();
    }
    lines.send(end_of_list(7)).await.unwrap();
    first.synced().await;
    scope.cancel();
    scope.join().await.unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);

    tokio::time::pause();
    let (api, mut requests) = server();
    let second = Informer::new(api).recorded(path);
    let mut changes = second.subscribe();
    let mut scope = Scope::<Infallible>::child_of(&CancellationToken::new());
    second.start(&mut scope);
    let (query, lines) = requests.recv().await.unwrap();
    second.synced().await;
    assert_eq!((names(&second), second.revision()), (vec!["gone".to_owned(), "same".to_owned()], 0));
    assert_eq!(changes.take().len(), 2);

    assert!(query.contains("sendInitialEvents=true"));
    lines.send(event("ADDED", "same", 3)).await.unwrap();
    lines.send(end_of_list(9)).await.unwrap();
    let told: Vec<_> = changes.next().await.into_iter().map(|c| (c.key.name, c.new.is_some())).collect();
    assert_eq!((told, second.revision()), (vec![("gone".to_owned(), false)], 9));
}

/// An event about an object whose `data` is this JSON, which need not suit a ConfigMap.
fn event_with_data(event_type: &str, name: &str, revision: u64, data: &str) -> String {
    event(event_type, name, revision).replacen(r#""metadata""#, &format!(r#""data":{data},"metadata""#), 1)
}

#[tokio::test(start_paused = true)]
async fn a_null_is_read_as_absence() {
    let (api, mut requests) = server();
    let informer = Informer::new(api);
    let mut scope = Scope::<Infallible>::child_of(&CancellationToken::new());
    informer.start(&mut scope);

    let (_, lines) = requests.recv().await.unwrap();
    lines.send(event_with_data("ADDED", "a", 3, r#"{"k":null,"l":"v"}"#)).await.unwrap();
    lines.send(end_of_list(3)).await.unwrap();
    informer.synced().await;
    let data = informer.get("default", "a").unwrap().data.clone().unwrap();
    assert_eq!(data.into_iter().collect::<Vec<_>>(), [("l".to_owned(), "v".to_owned())]);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_does_not_hide_the_others() {
    let (api, mut requests) = server();
    let informer = Informer::new(api);
    let mut scope = Scope::<Infallible>::child_of(&CancellationToken::new());
    informer.start(&mut scope);

    let (_, lines) = requests.recv().await.unwrap();
    lines.send(event_with_data("ADDED", "bad", 3, r#"{"k":[1]}"#)).await.unwrap();
    lines.send(event("ADDED", "a", 4)).await.unwrap();
    lines.send(end_of_list(4)).await.unwrap();
    informer.synced().await;
    assert_eq!(names(&informer), ["a"]);

    lines.send(event_with_data("MODIFIED", "a", 5, r#""no map""#)).await.unwrap();
    until_revision(&informer, 5).await;
    assert_eq!(names(&informer), ["a"], "it stays as it was last read");
    lines.send(event_with_data("DELETED", "a", 6, r#""no map""#)).await.unwrap();
    until_revision(&informer, 6).await;
    assert!(informer.is_empty());

    drop(lines);
    let (query, _lines) = requests.recv().await.unwrap();
    assert!(query.contains("resourceVersion=6"), "{query}");
}
