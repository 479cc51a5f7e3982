//! Every namespace has a service account named `default`. It makes no tokens.

use std::sync::Arc;

use coracle_client::{Key, is_already_exists};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};

use crate::driver::{Next, Reconcile};
use crate::informers::Informers;
use crate::{Error, template};

const DEFAULT: &str = "default";

pub(crate) struct ServiceAccounts {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
}

/// True while things can be created in the namespace.
pub(crate) fn is_active(namespace: &Namespace) -> bool {
    let phase = namespace.status.as_ref().and_then(|status| status.phase.as_deref());
    namespace.metadata.deletion_timestamp.is_none() && phase != Some("Terminating")
}

impl Reconcile for ServiceAccounts {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let is_wanted = self.informers.namespaces.get("", &key.name).is_some_and(|namespace| is_active(&namespace));
        if !is_wanted || self.informers.service_accounts.get(&key.name, DEFAULT).is_some() {
            return Ok(Next::Change);
        }
        let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &key.name);
        let metadata =
            ObjectMeta { namespace: Some(key.name.clone()), name: Some(DEFAULT.to_owned()), ..ObjectMeta::default() };
        let account = ServiceAccount { metadata, ..ServiceAccount::default() };
        match api.create(&PostParams::default(), &account).await {
            Ok(_) => Ok(Next::Change),
            Err(error) if is_already_exists(&error) || template::is_namespace_ending(&error) => Ok(Next::Change),
            Err(error) => Err(Error::at("create the default service account of", key.clone())(error)),
        }
    }
}
