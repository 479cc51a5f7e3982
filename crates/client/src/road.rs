//! The two roads to the API server, and requests that are no objects. It never decides what to ask.

use std::path::Path;

use bytes::Bytes;
use coracle_api::identity::User;
use http::header::USER_AGENT;
use http::{HeaderValue, Request, Response};
use kube::Client;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tower::{BoxError, Service, ServiceExt};

use crate::Error;

const DEFAULT_NAMESPACE: &str = "default";

/// A client of a server in this process. Every request carries `user` in its extensions, and is authorised as such.
///
/// Needs a tokio runtime.
pub fn in_process<S, B>(service: S, user: User) -> Client
where
    S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let program = HeaderValue::from_str(program(&user)).unwrap_or(HeaderValue::from_static("unknown"));
    let service = service.map_request(move |mut request: Request<Body>| {
        request.extensions_mut().insert(user.clone());
        request.headers_mut().entry(USER_AGENT).or_insert_with(|| program.clone());
        request
    });
    Client::new(service, DEFAULT_NAMESPACE)
}

/// The program that speaks for a user: what it writes is managed by it.
fn program(user: &User) -> &str {
    match user.name.strip_prefix("system:").unwrap_or(&user.name) {
        name if name.starts_with("node:") => "kubelet",
        name => name,
    }
}

/// A client of the cluster that a kubeconfig file's current context names.
pub async fn from_kubeconfig(path: &Path) -> Result<Client, Error> {
    from_kubeconfig_context(path, &KubeConfigOptions::default()).await
}

/// As [`from_kubeconfig`], with another context, cluster or user of that file.
pub async fn from_kubeconfig_context(path: &Path, options: &KubeConfigOptions) -> Result<Client, Error> {
    let failed = |source| Error::Kubeconfig { path: path.display().to_string(), source };
    let kubeconfig = Kubeconfig::read_from(path).map_err(failed)?;
    let config = kube::Config::from_custom_kubeconfig(kubeconfig, options).await.map_err(failed)?;
    Client::try_from(config).map_err(|error| Error::Client(Box::new(error)))
}

/// Sends `request` as it is and returns the answer as it is, whatever its status; both bodies stream.
pub async fn raw_request<B>(client: &Client, request: Request<B>) -> Result<Response<Body>, Error>
where
    B: Into<Body>,
{
    let uri = request.uri().to_string();
    client.send(request.map(Into::into)).await.map_err(|source| Error::Send { uri, source: Box::new(source) })
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::Full;
    use tower::service_fn;

    use super::*;

    #[tokio::test]
    async fn an_in_process_request_carries_its_user_and_its_program() {
        let service = service_fn(|request: Request<Body>| async move {
            let name = request.extensions().get::<User>().map(|user| user.name.clone()).unwrap_or_default();
            let program = request.headers()["user-agent"].to_str().unwrap();
            Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(format!("{name} by {program}")))))
        });
        let user = User { name: "system:kube-scheduler".into(), ..User::default() };
        let client = in_process(service, user);
        let request = Request::get("/api").body(Bytes::new()).unwrap();
        let answer = raw_request(&client, request).await.unwrap().into_body().collect_bytes().await.unwrap();
        assert_eq!(answer, "system:kube-scheduler by kube-scheduler");
        assert_eq!(program(&User::node("n1")), "kubelet");
    }

    #[tokio::test]
    async fn a_missing_kubeconfig_is_named() {
        let error = from_kubeconfig(Path::new("/nowhere/kubeconfig")).await.err().unwrap();
        assert_eq!(error.to_string(), "read kubeconfig /nowhere/kubeconfig");
    }
}
