//! Two control planes over one API server, of which one runs the loops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coracle_api::identity::User;
use coracle_client::{Election, Key};
use coracle_controllers::{Config, Controllers, Metrics};
use coracle_stdx::{CancellationToken, Clock, Scope};
use coracle_testkit::{Api as Server, wait_for};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;

/// A control plane that wants to lead; the flag says whether it does.
fn join(
    server: &Server,
    scope: &mut Scope<coracle_controllers::Error>,
    name: &str,
) -> (CancellationToken, Arc<AtomicBool>) {
    let (own, leads) = (scope.token().child_token(), Arc::new(AtomicBool::new(false)));
    let client = server.client(User::new("system:kube-controller-manager", &[]));
    let key = Key::new("kube-system", "kube-controller-manager");
    let election = Election::new(client.clone(), key, name, Clock::System);
    let (token, told) = (own.clone(), leads.clone());
    let lead = move |token| {
        let controllers = Controllers::new(client.clone(), Config::default()).shown_in(Metrics::default());
        let told = told.clone();
        async move {
            told.store(true, Ordering::Relaxed);
            let outcome = controllers.run(token).await;
            told.store(false, Ordering::Relaxed);
            outcome
        }
    };
    scope.spawn(|_| election.run(token, lead));
    (own, leads)
}

async fn until(what: &str, flag: &AtomicBool) {
    wait_for(what, async || if flag.load(Ordering::Relaxed) { Ok(()) } else { Err("it follows".to_owned()) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_control_plane_takes_over_when_the_first_ends() {
    let server = Server::start().await;
    let mut scope = Scope::child_of(&CancellationToken::new());
    let (first, first_leads) = join(&server, &mut scope, "first");
    until("the first to lead", &first_leads).await;
    let (_, second_leads) = join(&server, &mut scope, "second");
    let leases: Api<Lease> = Api::namespaced(server.admin(), "kube-system");
    let holder = async || leases.get("kube-controller-manager").await.unwrap().spec.unwrap().holder_identity.unwrap();
    assert_eq!(holder().await, "first");
    assert!(!second_leads.load(Ordering::Relaxed));
    first.cancel();
    until("the second to lead", &second_leads).await;
    assert!(!first_leads.load(Ordering::Relaxed));
    assert_eq!(holder().await, "second");
    scope.cancel();
    scope.join().await.unwrap();
}
