//! Gives a pod what its containers share: an address, and volumes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use coracle_net::{PodIdentity, PodNetwork};
use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1 as core;
use kube::Api;
use kube::api::PostParams;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Context, claims};
use crate::environment::Facts;
use crate::error::chain;
use crate::volumes::{self, Directories, Files, Materials, Source, Token, TokenWish, Work};
use crate::{names, objects};

/// How long preparing a pod may wait for the API.
const PATIENCE: Duration = Duration::from_secs(20);
/// A token is not asked for more often than this.
const RENEWAL_MIN: Duration = Duration::from_secs(30);
/// Addresses that are tried when one is still held by a pod that is leaving.
const ADDRESSES_MAX: usize = 4;

/// Why a pod is not ready to start containers: an event's reason and message.
pub(super) struct Failure {
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// The tokens of a pod, and when each is to be renewed.
#[derive(Default)]
pub(super) struct Tokens(Mutex<HashMap<TokenWish, (Token, Instant)>>);

/// Puts the pod on the network.
pub(super) fn attach(context: &Context, pod: &core::Pod) -> Result<Arc<PodNetwork>, Failure> {
    let failure = |message: String| Failure { reason: "FailedCreatePodSandBox", message };
    let identity = PodIdentity {
        namespace: pod.metadata.namespace.clone().unwrap_or_default(),
        name: pod.metadata.name.clone().unwrap_or_default(),
        uid: pod.metadata.uid.clone().unwrap_or_default(),
    };
    let mut refused = Vec::new();
    let surroundings = context.config.names();
    let mut kept = context.kept_addresses.lock().remove(&identity.uid);
    let mut attached =
        Err(failure("Failed to create pod sandbox: no address is free in the node's pod network".into()));
    while refused.len() < ADDRESSES_MAX {
        let Some(addresses) = kept.take().or_else(|| context.ipam.lock().allocate()) else { break };
        let resolver = names::resolver(pod, &addresses, &surroundings);
        match context.fabric.attach_with(identity.clone(), &addresses, resolver) {
            Ok(network) => {
                attached = Ok(network);
                break;
            }
            Err(error) => {
                attached = Err(failure(format!("Failed to create pod sandbox: {error}")));
                refused.push(addresses);
            }
        }
    }
    let mut ipam = context.ipam.lock();
    for addresses in refused {
        ipam.release(&addresses);
    }
    attached
}

/// Writes the pod's volumes, or writes them anew. Returns when they are to be renewed next because of a token.
pub(super) async fn volumes(
    context: &Context,
    reader: &kube::Client,
    pod: &core::Pod,
    addresses: &[IpAddr],
    directories: &Directories,
    tokens: &Tokens,
) -> Result<Option<Instant>, Failure> {
    match tokio::time::timeout(PATIENCE, try_volumes(context, reader, pod, addresses, directories, tokens)).await {
        Ok(written) => written,
        Err(_) => Err(Failure { reason: "FailedMount", message: "timed out waiting for the API".into() }),
    }
}

async fn try_volumes(
    context: &Context,
    reader: &kube::Client,
    pod: &core::Pod,
    addresses: &[IpAddr],
    directories: &Directories,
    tokens: &Tokens,
) -> Result<Option<Instant>, Failure> {
    let Some(spec) = pod.spec.as_ref().filter(|spec| spec.volumes.as_ref().is_some_and(|all| !all.is_empty())) else {
        return Ok(None);
    };
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let references = volumes::references(spec);
    let fetch = objects::fetch(reader, namespace, &references);
    let (objects, given) = tokio::join!(fetch, tokens.give(reader, pod, spec));
    let objects = objects.map_err(|error| mount_failure("", &chain(&error)))?;
    let (given, renewal) = given?;
    let facts = Facts {
        pod,
        pod_addresses: addresses,
        host_addresses: &context.config.addresses,
        allocatable: &context.allocatable,
    };
    let materials = Materials { facts, objects: &objects, tokens: &given };
    let mut written = Vec::new();
    for volume in spec.volumes.iter().flatten() {
        let files = match Source::of(volume) {
            Source::Empty => Content::Nothing,
            Source::Written => {
                let files = volumes::payload(volume, materials);
                Content::Files(files.map_err(|error| mount_failure(&volume.name, &chain(&error)))?)
            }
            Source::Claim => {
                let all = context.config.volumes_dir();
                let found = claims::directory(reader, pod, volume, &all).await;
                let directory = found.unwrap_or_else(|| Err("it is no claim".to_owned()));
                Content::Elsewhere(directory.map_err(|why| mount_failure(&volume.name, &why))?)
            }
            Source::Unsupported(kind) => return Err(unsupported(&volume.name, kind)),
        };
        written.push((volume.name.clone(), files));
    }
    write(directories.clone(), written).await?;
    Ok(renewal)
}

/// What a volume begins with.
enum Content {
    Nothing,
    Files(Files),
    /// A directory that outlives the pod.
    Elsewhere(PathBuf),
}

/// Has the volumes written: now, where somebody has looked at the pod's directories, and otherwise when somebody does.
async fn write(directories: Directories, volumes: Vec<(String, Content)>) -> Result<(), Failure> {
    let mut now: Vec<(String, Work)> = Vec::new();
    for (name, content) in volumes {
        let dir = directories.volume(&name);
        let at = dir.clone();
        let work: Work = match content {
            Content::Files(files) => Box::new(move || volumes::write(&at, &files)),
            Content::Nothing => Box::new(move || volumes::create(&at)),
            Content::Elsewhere(directory) => {
                let link = move || {
                    let failed = |source| volumes::Error::Write { path: at.display().to_string(), source };
                    claims::link(&at, &directory).map_err(failed)
                };
                now.push((name, Box::new(link)));
                continue;
            }
        };
        now.extend(directories.later.keep(dir, work).map(|work| (name, work)));
    }
    if now.is_empty() {
        return Ok(());
    }
    let write = move || {
        now.into_iter().try_for_each(|(name, mut work)| work().map_err(|error| mount_failure(&name, &chain(&error))))
    };
    tokio::task::spawn_blocking(write).await.expect("writing volumes does not panic")
}

fn mount_failure(volume: &str, why: &str) -> Failure {
    let which = if volume.is_empty() { "volumes".to_owned() } else { format!("volume \"{volume}\"") };
    Failure { reason: "FailedMount", message: format!("MountVolume.SetUp failed for {which} : {why}") }
}

fn unsupported(volume: &str, kind: &'static str) -> Failure {
    let why = volumes::Error::Unsupported(kind);
    Failure { reason: "UnsupportedVolume", message: format!("volume \"{volume}\": {why}") }
}

impl Tokens {
    /// The tokens that the pod's volumes ask for, made where there is none or it is old; and when the first is old.
    async fn give(
        &self,
        client: &kube::Client,
        pod: &core::Pod,
        spec: &core::PodSpec,
    ) -> Result<(HashMap<TokenWish, Token>, Option<Instant>), Failure> {
        let mut given = HashMap::new();
        let mut renewal: Option<Instant> = None;
        for wish in volumes::tokens(spec) {
            let known = self.0.lock().get(&wish).cloned().filter(|(_, renewed_at)| Instant::now() < *renewed_at);
            let (token, renewed_at) = match known {
                Some(known) => known,
                None => {
                    let (token, lasts) = request(client, pod, spec, &wish).await?;
                    (token, Instant::now() + renewed_after(&wish, lasts))
                }
            };
            self.0.lock().insert(wish.clone(), (token.clone(), renewed_at));
            renewal = Some(renewal.map_or(renewed_at, |earlier| earlier.min(renewed_at)));
            given.insert(wish, token);
        }
        Ok((given, renewal))
    }
}

async fn request(
    client: &kube::Client,
    pod: &core::Pod,
    spec: &core::PodSpec,
    wish: &TokenWish,
) -> Result<(Token, Option<Duration>), Failure> {
    let api: Api<core::ServiceAccount> =
        Api::namespaced(client.clone(), pod.metadata.namespace.as_deref().unwrap_or_default());
    let account = spec.service_account_name.as_deref().filter(|name| !name.is_empty()).unwrap_or("default");
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: Some(wish.audience.iter().cloned().collect()),
            expiration_seconds: Some(wish.lifetime_s),
            bound_object_ref: Some(BoundObjectReference {
                kind: Some("Pod".to_owned()),
                api_version: Some("v1".to_owned()),
                name: pod.metadata.name.clone(),
                uid: pod.metadata.uid.clone(),
            }),
            ..TokenRequestSpec::default()
        }),
        ..TokenRequest::default()
    };
    let answer = api.create_token_request(account, &PostParams::default(), &request).await;
    let answer = answer.map_err(|error| mount_failure("", &format!("failed to fetch token: {}", chain(&error))))?;
    let status = answer.status.unwrap_or_default();
    let now = jiff::Timestamp::now();
    let lasts =
        status.expiration_timestamp.map(|end| Duration::try_from(end.0.duration_since(now)).unwrap_or_default());
    Ok((status.token.unwrap_or_default(), lasts))
}

/// A token that was remembered may be about to end: then another is asked for soon.
fn renewed_after(wish: &TokenWish, lasts: Option<Duration>) -> Duration {
    let usual = wish.renewed_after();
    lasts.map_or(usual, |lasts| usual.min(lasts.mul_f64(0.8))).max(RENEWAL_MIN)
}
