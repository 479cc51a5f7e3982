//! Every namespace has the certificate by which pods know the API server.

use std::sync::Arc;

use coracle_client::{Key, is_already_exists};
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::PostParams;
use kube::{Api, Client};

use crate::driver::{Next, Reconcile};
use crate::informers::{Informers, ROOT_CA};
use crate::{Error, service_account, template};

const FILE: &str = "ca.crt";
const DESCRIPTION: &str = "Contains a CA bundle that can be used to verify the kube-apiserver when using internal \
    endpoints such as the internal service IP or kubernetes.default.svc. No other usage is guaranteed across \
    distributions of Kubernetes clusters.";

pub(crate) struct RootCas {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) pem: String,
}

impl RootCas {
    fn wanted(&self, namespace: &str, current: Option<&ConfigMap>) -> ConfigMap {
        let mut map = current.cloned().unwrap_or_else(|| ConfigMap {
            metadata: ObjectMeta {
                namespace: Some(namespace.to_owned()),
                name: Some(ROOT_CA.to_owned()),
                ..ObjectMeta::default()
            },
            ..ConfigMap::default()
        });
        let annotations = map.metadata.annotations.get_or_insert_default();
        annotations.insert("kubernetes.io/description".to_owned(), DESCRIPTION.to_owned());
        map.data = Some([(FILE.to_owned(), self.pem.clone())].into());
        map
    }
}

impl Reconcile for RootCas {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let namespace = self.informers.namespaces.get("", &key.name);
        if !namespace.is_some_and(|namespace| service_account::is_active(&namespace)) {
            return Ok(Next::Change);
        }
        let current = self.informers.root_cas.get(&key.name, ROOT_CA);
        let wanted = self.wanted(&key.name, current.as_deref());
        if current.as_deref() == Some(&wanted) {
            return Ok(Next::Change);
        }
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), &key.name);
        let answer = match current {
            Some(_) => api.replace(ROOT_CA, &PostParams::default(), &wanted).await,
            None => api.create(&PostParams::default(), &wanted).await,
        };
        match answer {
            Ok(_) => Ok(Next::Change),
            Err(error) if is_already_exists(&error) || template::is_namespace_ending(&error) => Ok(Next::Change),
            Err(error) => Err(Error::at("publish the root certificate in", key.clone())(error)),
        }
    }
}
