//! Candidates over one simulated API under a paused clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use coracle_api::identity::User;
use coracle_stdx::Scope;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use jiff::Timestamp;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tower::service_fn;

use super::*;
use crate::in_process;

/// An API that has one lease, and can fall silent.
#[derive(Clone, Default)]
struct Server {
    lease: Arc<Mutex<Option<Value>>>,
    revision: Arc<AtomicUsize>,
}

impl Server {
    /// A client whose requests are answered unless it is cut off.
    fn client(&self, is_cut_off: Arc<AtomicBool>) -> Client {
        let server = self.clone();
        let service = service_fn(move |request: Request<Body>| {
            let (server, is_cut_off) = (server.clone(), is_cut_off.clone());
            async move {
                if is_cut_off.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
                Ok::<_, std::convert::Infallible>(server.answer(request).await)
            }
        });
        in_process(service, User { name: "system:kube-scheduler".into(), ..User::default() })
    }

    async fn answer(&self, request: Request<Body>) -> Response<Full<Bytes>> {
        let method = request.method().clone();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let mut lease = self.lease.lock();
        let version = |lease: &Option<Value>| lease.as_ref().map(|lease| lease["metadata"]["resourceVersion"].clone());
        if method == Method::GET {
            return lease.as_ref().map_or_else(|| refused(404, "NotFound"), |lease| reply(200, lease));
        }
        let mut object: Value = serde_json::from_slice(&body).unwrap();
        let expected = (method == Method::PUT).then(|| object["metadata"]["resourceVersion"].clone());
        if version(&lease) != expected {
            return refused(409, if method == Method::PUT { "Conflict" } else { "AlreadyExists" });
        }
        let revision = self.revision.fetch_add(1, Ordering::Relaxed) + 1;
        object["metadata"]["resourceVersion"] = json!(revision.to_string());
        let answer = reply(200, &object);
        *lease = Some(object);
        answer
    }

    fn holder(&self) -> String {
        self.lease.lock().as_ref().unwrap()["spec"]["holderIdentity"].as_str().unwrap().to_owned()
    }
}

fn reply(code: u16, body: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    *response.status_mut() = StatusCode::from_u16(code).unwrap();
    response
}

fn refused(code: u16, reason: &str) -> Response<Full<Bytes>> {
    reply(code, &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}))
}

/// A control plane that counts how many lead with it.
struct ControlPlane {
    is_cut_off: Arc<AtomicBool>,
    token: CancellationToken,
    leads: Arc<AtomicBool>,
}

/// Says that it leads for as long as it lives.
struct Leading {
    leads: Arc<AtomicBool>,
    n_leaders: Arc<AtomicUsize>,
}

impl Leading {
    fn begin(leads: Arc<AtomicBool>, n_leaders: Arc<AtomicUsize>) -> Self {
        leads.store(true, Ordering::Relaxed);
        assert_eq!(n_leaders.fetch_add(1, Ordering::Relaxed), 0, "two lead at once");
        Self { leads, n_leaders }
    }
}

impl Drop for Leading {
    fn drop(&mut self) {
        self.leads.store(false, Ordering::Relaxed);
        self.n_leaders.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Cluster {
    server: Server,
    n_leaders: Arc<AtomicUsize>,
    scope: Scope<std::convert::Infallible>,
}

impl Cluster {
    fn new() -> Self {
        let scope = Scope::child_of(&CancellationToken::new());
        Self { server: Server::default(), n_leaders: Arc::default(), scope }
    }

    /// `is_deaf` says that what it leads does not end when told to.
    fn join(&mut self, identity: &str, is_deaf: bool) -> ControlPlane {
        let is_cut_off = Arc::new(AtomicBool::new(false));
        let clock = Clock::simulated(Timestamp::UNIX_EPOCH);
        let key = Key::new("kube-system", "kube-scheduler");
        let election = Election::new(self.server.client(is_cut_off.clone()), key, identity, clock);
        let (token, leads) = (self.scope.token().child_token(), Arc::new(AtomicBool::new(false)));
        let (own, told, n_leaders) = (token.clone(), leads.clone(), self.n_leaders.clone());
        self.scope.spawn(move |_| async move {
            let lead = |token: CancellationToken| {
                let leading = Leading::begin(told.clone(), n_leaders.clone());
                async move {
                    match is_deaf {
                        true => std::future::pending().await,
                        false => token.cancelled().await,
                    }
                    drop(leading);
                    Ok(())
                }
            };
            election.run(own, lead).await
        });
        ControlPlane { is_cut_off, token, leads }
    }
}

/// How long it takes until `plane` leads.
async fn until_leading(plane: &ControlPlane) -> Duration {
    let started = Instant::now();
    while !plane.leads.load(Ordering::Relaxed) {
        assert!(started.elapsed() < Duration::from_secs(60), "it never leads");
        sleep(Duration::from_millis(10)).await;
    }
    started.elapsed()
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_the_other_follows_within_fifteen_seconds_of_its_silence() {
    for millis in (0..4000).step_by(250) {
        let mut cluster = Cluster::new();
        let first = cluster.join("a", millis % 500 == 0);
        assert!(until_leading(&first).await < Duration::from_millis(20), "nobody stands in its way");
        let second = cluster.join("b", false);
        sleep(Duration::from_secs(60) + Duration::from_millis(millis)).await;
        assert!(!second.leads.load(Ordering::Relaxed));
        first.is_cut_off.store(true, Ordering::Relaxed);
        let wait = until_leading(&second).await;
        assert!(wait < Duration::from_secs(15), "{wait:?}");
        assert!(!first.leads.load(Ordering::Relaxed));
        assert_eq!(cluster.server.holder(), "b");
        first.is_cut_off.store(false, Ordering::Relaxed);
        sleep(Duration::from_secs(60)).await;
        assert!(second.leads.load(Ordering::Relaxed), "who returns does not lead again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_ends_makes_way_at_once() {
    let mut cluster = Cluster::new();
    let first = cluster.join("a", false);
    until_leading(&first).await;
    let second = cluster.join("b", false);
    sleep(Duration::from_secs(10)).await;
    first.token.cancel();
    let wait = until_leading(&second).await;
    assert!(wait < Duration::from_secs(3), "{wait:?}");
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_killed_leads_again_at_once() {
    let mut cluster = Cluster::new();
    let killed = cluster.join("a", false);
    until_leading(&killed).await;
    cluster.scope = Scope::child_of(&CancellationToken::new());
    assert_eq!(cluster.server.holder(), "a", "it had no time to say goodbye");
    let returned = cluster.join("a", false);
    assert!(until_leading(&returned).await < Duration::from_millis(20));
}

#[tokio::test(start_paused = true)]
async fn a_lead_that_somebody_took_away_is_given_up() {
    let mut cluster = Cluster::new();
    let plane = cluster.join("a", false);
    until_leading(&plane).await;
    {
        let mut lease = cluster.server.lease.lock();
        let lease = lease.as_mut().unwrap();
        lease["spec"]["holderIdentity"] = json!("somebody");
        lease["metadata"]["resourceVersion"] = json!("1000");
    }
    sleep(Duration::from_secs(5)).await;
    assert!(!plane.leads.load(Ordering::Relaxed));
    until_leading(&plane).await;
}
