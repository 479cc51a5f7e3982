//! `push`: uploads a wasm binary into the cluster's image registry.

use std::io::Write;
use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::Args;
use coracle_oci::{Body, BoxError, Reference, Transport};
use futures::future::BoxFuture;
use http_body_util::BodyExt;

use crate::connect::Connection;
use crate::server::Server;

#[derive(Debug, Args)]
pub struct Push {
    /// The .wasm file
    file: PathBuf,
    /// The image's name in the cluster: NAME:TAG
    image: String,
    #[command(flatten)]
    connection: Connection,
}

impl Push {
    pub(crate) async fn run(self, out: &mut (dyn Write + Send)) -> anyhow::Result<()> {
        let reference: Reference = self.image.parse()?;
        if let Some(registry) = &reference.registry {
            bail!("{} names the registry {registry}: leave it out, push goes to the cluster's own", self.image);
        }
        if reference.digest.is_some() {
            bail!("{} has a digest: give a tag, the digest follows from the file", self.image);
        }
        let file = self.file.display();
        let binary = tokio::fs::read(&self.file).await.with_context(|| format!("read {file}"))?;
        let size = binary.len();
        let server = self.connection.open().await?;
        let pushed = coracle_oci::push(&server, &reference, binary.into()).await;
        let pushed = pushed.with_context(|| format!("push {file} as {reference}"))?;
        writeln!(out, "{reference}: pushed {file} ({} KiB, {})", size.div_ceil(1024), pushed.os)?;
        writeln!(out, "digest: {}", pushed.manifest)?;
        Ok(())
    }
}

/// The registry is served beside the API, to the same users.
impl Transport for Server {
    fn send(&self, request: http::Request<Body>) -> BoxFuture<'_, Result<http::Response<Body>, BoxError>> {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            // A pushed blob is in memory as a whole; only its frame changes.
            let body = body.collect().await?.to_bytes();
            let response = self.raw(http::Request::from_parts(parts, body.into())).await?;
            Ok(response.map(|body| body.map_err(BoxError::from).boxed_unsync()))
        })
    }
}
