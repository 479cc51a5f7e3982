//! Which cluster, as whom, and in which namespace: flags, then the environment, then what `coracle up` wrote.

use std::path::{Path, PathBuf};

use anyhow::{Context, anyhow, bail};
use clap::Args;
use kube::config::{KubeConfigOptions, Kubeconfig};

use crate::server::Server;

/// Where the cluster is.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Connection {
    /// The kubeconfig file [default: DATA_DIR/kubeconfig]
    #[arg(long, env = "KUBECONFIG", hide_env_values = true, value_name = "FILE")]
    kubeconfig: Option<String>,
    /// The context of the kubeconfig file to use
    #[arg(long)]
    context: Option<String>,
    /// Where `coracle up` keeps its data [default: $XDG_DATA_HOME/coracle]
    #[arg(long)]
    data_dir: Option<PathBuf>,
    /// The namespace to work in [default: the context's, or "default"]
    #[arg(short, long)]
    pub(crate) namespace: Option<String>,
}

impl Connection {
    pub(crate) async fn open(&self) -> anyhow::Result<Server> {
        let config = self.config().await?;
        let url = config.cluster_url.to_string();
        let client = kube::Client::try_from(config).context("make a client from the kubeconfig")?;
        let namespace = self.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
        Ok(Server { client, url, namespace })
    }

    /// The hash of the public key of the authority that the kubeconfig trusts.
    pub(crate) async fn ca_hash(&self) -> anyhow::Result<[u8; 32]> {
        let roots = self.config().await?.root_cert.unwrap_or_default();
        let root = roots.first().context("the kubeconfig names no certificate authority")?;
        Ok(coracle_pki::key_hash(&root.as_slice().into())?)
    }

    async fn config(&self) -> anyhow::Result<kube::Config> {
        let options = KubeConfigOptions { context: self.context.clone(), ..KubeConfigOptions::default() };
        let config = kube::Config::from_custom_kubeconfig(self.read()?, &options).await;
        config.context("use the kubeconfig")
    }

    fn read(&self) -> anyhow::Result<Kubeconfig> {
        let Some(list) = self.kubeconfig.as_deref().filter(|list| !list.is_empty()) else {
            return read(&self.default_path()?);
        };
        let mut files = std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty());
        let first = read(&files.next().unwrap_or_default())?;
        files.filter(|path| path.exists()).try_fold(first, |merged, path| Ok(merged.merge(read(&path)?)?))
    }

    fn default_path(&self) -> anyhow::Result<PathBuf> {
        let data_dir = self.data_dir.clone().or_else(default_data_dir);
        let path = data_dir.map(|dir| dir.join("kubeconfig")).filter(|path| path.exists());
        match path {
            Some(path) => Ok(path),
            None => {
                bail!("no kubeconfig: start a cluster with `coracle up`, or name one with --kubeconfig or KUBECONFIG")
            }
        }
    }
}

fn default_data_dir() -> Option<PathBuf> {
    let data_home = std::env::var_os("XDG_DATA_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let data_home = data_home.or_else(|| Some(std::env::home_dir()?.join(".local/share")));
    data_home.map(|dir| dir.join("coracle"))
}

fn read(path: &Path) -> anyhow::Result<Kubeconfig> {
    if !path.exists() {
        bail!("there is no kubeconfig {}; `coracle up` writes one to DATA_DIR/kubeconfig", path.display());
    }
    // The error says its sources itself.
    Kubeconfig::read_from(path).map_err(|error| anyhow!("{error}"))
}
