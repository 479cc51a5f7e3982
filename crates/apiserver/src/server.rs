//! The API server as its composer sees it: made of its parts, reached in process or over HTTPS.

use std::sync::{Arc, OnceLock};

use axum::Router;
use coracle_api::kinds;
use coracle_pki::Pki;
use coracle_stdx::{CancellationToken, Scope};
use coracle_store::Store;
use parking_lot::Mutex;
use tokio::net::TcpListener;

use crate::admission::QuotaTurns;
use crate::authenticate::Tokens;
use crate::config::Config;
use crate::fairness::Fairness;
use crate::kubelets::Kubelets;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::paths::Schemas;
use crate::resources::Catalog;
use crate::services::Allocators;
use crate::state::State;
use crate::{Error, bootstrap, handler, serve};

/// One API server. Cheap to clone; all clones are one server.
#[derive(Clone)]
pub struct ApiServer(Arc<State>);

impl ApiServer {
    /// A server over `store`, with everything that a cluster begins with. `registry` serves the paths below `/v2/`.
    ///
    /// It ends when `token` is cancelled: watches close, and no new ones begin.
    pub async fn new(
        config: Config,
        store: Store,
        pki: Pki,
        registry: Option<Router>,
        token: CancellationToken,
    ) -> Result<Self, Error> {
        let state = Arc::new(State {
            quota_turns: QuotaTurns::default(),
            allocators: Allocators::new(config.service_cidr, config.node_ports.clone()),
            catalog: Catalog::new(kinds::all()),
            kubelets: Kubelets::default(),
            live: Live::default(),
            metrics: Metrics::default(),
            fairness: Fairness::new(&config.limits),
            tokens: Tokens::default(),
            schemas: Schemas::default(),
            began: OnceLock::new(),
            scope: Mutex::new(Scope::child_of(&token)),
            config,
            store,
            pki,
            registry,
            token,
        });
        bootstrap::run(&state).await.map_err(|status| Error::Bootstrap { source: Box::new(status) })?;
        state.began.get_or_init(|| state.store.revision());
        Ok(Self(state))
    }

    /// The in-process road: the caller's [`coracle_api::identity::User`] is in the extensions of its requests, and
    /// passes the same authorisation as everybody else's.
    pub fn service(&self) -> Router {
        Router::new().fallback(handler::handle).with_state(Arc::clone(&self.0))
    }

    /// Adds to `/metrics` what another part of this process tells, in the text of Prometheus.
    pub fn tell_metrics(&self, render: impl Fn() -> String + Send + Sync + 'static) {
        self.0.metrics.add(Box::new(render));
    }

    /// The roads to the nodes.
    pub fn kubelets(&self) -> Kubelets {
        self.0.kubelets.clone()
    }

    /// Serves HTTPS on `listener` until `token` is cancelled, then lets requests in flight end.
    pub async fn serve(&self, listener: TcpListener, token: CancellationToken) -> Result<(), Error> {
        serve::serve(Arc::clone(&self.0), listener, token).await
    }
}
