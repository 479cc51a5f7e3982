//! How a machine becomes a node of a cluster elsewhere: it believes the authority that its token pins, asks for a
//! certificate with a key of its own, keeps both on disk, and renews the certificate before it ends.
//!
//! The token is needed once. A machine that has a certificate which is still good starts without one, and without the
//! API server.

mod certificate;
mod discover;
mod record;
mod renew;

use std::path::PathBuf;
use std::sync::Arc;

use coracle_pki::{JoinToken, Renewable};
use coracle_stdx::CancellationToken;
use http::Uri;
use kube::Client;
use tracing::info;

use self::record::Record;
use self::renew::Swapped;

/// What a machine is told to join with.
#[derive(Clone, Debug)]
pub struct Joining {
    /// The API server. Needed for the first time; later it replaces the one that was kept.
    pub server: Option<String>,
    pub token: Option<JoinToken>,
    /// The node's name. The one that was kept goes before.
    pub name: String,
    /// Where the node's key and certificate are kept.
    pub dir: PathBuf,
}

/// What keeps a machine from joining.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the first start needs --server and --token; `coracle token create` prints both")]
    NothingToJoin,
    #[error("the certificate in {dir} has ended: start once with a new --token")]
    Ended { dir: PathBuf },
    #[error("{dir} belongs to node {kept}, not {asked}")]
    OtherName { dir: PathBuf, kept: String, asked: String },
    #[error("{0:?} is no https URL")]
    Server(String),
    #[error("connect to {server}")]
    Connect { server: String, source: std::io::Error },
    #[error("{server} is not a server of the cluster that the token is for")]
    OtherCluster { server: String },
    #[error("the API server refuses the token: it has expired, was revoked, or is for another cluster")]
    TokenRefused,
    #[error("ask for a certificate")]
    Ask { source: Box<kube::Error> },
    #[error("the request for a certificate was not granted: {why}")]
    NotGranted { why: String },
    #[error("told to stop while waiting for a certificate")]
    Stopped,
    #[error(transparent)]
    Pki(#[from] coracle_pki::Error),
    #[error("make a client for {server}")]
    Client { server: String, source: Box<kube::Error> },
}

/// A machine that has a certificate.
pub struct Joined {
    pub name: String,
    pub server: Uri,
    pub ca_pem: String,
    /// What the node shows to other nodes.
    pub identity: Renewable,
    client: Arc<Swapped>,
    record: Record,
    dir: PathBuf,
}

impl Joined {
    /// Speaks to the API as this node, with whatever certificate is the newest.
    pub fn client(&self) -> Client {
        renew::client(&self.client)
    }

    /// Its secret for `purpose`, the same at every start.
    pub fn secret(&self, purpose: &str) -> [u8; 32] {
        self.record.secret(purpose)
    }

    /// Renews the certificate in time, until `token` is cancelled.
    pub async fn keep_certified(self, token: CancellationToken) {
        renew::keep(self, token).await;
    }
}

/// Joins, or finds that it was done before.
pub async fn join(joining: Joining, token: CancellationToken) -> Result<Joined, Error> {
    let kept = Record::read(&joining.dir)?;
    let record = match kept {
        Some(mut kept) => {
            if let Some(server) = &joining.server {
                kept.server.clone_from(server);
            }
            match (kept.is_good()?, &joining.token) {
                (true, _) => kept,
                (false, Some(with)) => first(&joining, with, kept.name.clone(), &token).await?,
                (false, None) => return Err(Error::Ended { dir: joining.dir }),
            }
        }
        None => {
            let with = joining.token.as_ref().ok_or(Error::NothingToJoin)?;
            first(&joining, with, joining.name.clone(), &token).await?
        }
    };
    record.write(&joining.dir)?;
    let identity = Renewable::new(&record.identity())?;
    let client = Arc::new(Swapped::new(record.client()?));
    let server = uri(&record.server)?;
    Ok(Joined {
        name: record.name.clone(),
        server,
        ca_pem: record.ca_pem.clone(),
        identity,
        client,
        record,
        dir: joining.dir,
    })
}

async fn first(joining: &Joining, with: &JoinToken, name: String, token: &CancellationToken) -> Result<Record, Error> {
    let server = joining.server.clone().ok_or(Error::NothingToJoin)?;
    let ca_pem = discover::authority(&uri(&server)?, with.ca_hash).await?;
    let client = record::bootstrap_client(&server, &ca_pem, &with.bearer())?;
    let identity = certificate::obtain(&client, &name, token).await?;
    info!(node = %name, %server, "joined the cluster");
    Ok(Record::new(server, name, ca_pem, identity))
}

fn uri(server: &str) -> Result<Uri, Error> {
    let malformed = || Error::Server(server.to_owned());
    let uri: Uri = server.parse().map_err(|_| malformed())?;
    if uri.scheme_str() == Some("https") && uri.host().is_some() { Ok(uri) } else { Err(malformed()) }
}
