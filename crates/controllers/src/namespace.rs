//! Empties a namespace that is being deleted, and then lets it go.

mod report;

use std::sync::Arc;
use std::time::Duration;

use coracle_client::Key;
use coracle_stdx::Clock;
use k8s_openapi::api::core::v1::{Namespace, NamespaceStatus};
use kube::api::{DeleteParams, ListParams, PostParams};
use kube::core::{DynamicObject, PartialObjectMeta};
use kube::{Api, Client};

use self::report::{Remaining, Report};
use crate::discovery::{self, Served};
use crate::driver::{Next, Reconcile};
use crate::error::Tolerate;
use crate::informers::Informers;
use crate::{Error, batch};

const FINALIZER: &str = "kubernetes";
/// What remains is mostly pods in their grace: it is looked at this often.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

pub(crate) struct Namespaces {
    pub(crate) client: Client,
    pub(crate) informers: Arc<Informers>,
    pub(crate) clock: Clock,
}

fn holds(namespace: &Namespace) -> bool {
    let finalizers = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
    finalizers.is_some_and(|finalizers| finalizers.iter().any(|finalizer| finalizer == FINALIZER))
}

impl Reconcile for Namespaces {
    async fn reconcile(&self, key: &Key) -> Result<Next, Error> {
        let Some(namespace) = self.informers.namespaces.get("", &key.name) else { return Ok(Next::Change) };
        if namespace.metadata.deletion_timestamp.is_none() || !holds(&namespace) {
            return Ok(Next::Change);
        }
        let report = self.empty(&key.name).await;
        let conditions = report.conditions(&namespace, self.clock.now());
        let namespace = self.write_status(key, &namespace, conditions).await?;
        if !report.is_clean() {
            return Ok(Next::After(LOOK_AGAIN));
        }
        if let Some(namespace) = namespace {
            self.finalize(key, namespace).await?;
        }
        Ok(Next::Change)
    }
}

impl Namespaces {
    /// Deletes everything that is in the namespace, and reports what is left.
    async fn empty(&self, namespace: &str) -> Report {
        let mut report = Report::default();
        let kinds = match discovery::served(&self.client).await {
            Ok(kinds) => kinds,
            Err(error) => {
                report.discovery_failure = Some(source_text(&error));
                return report;
            }
        };
        let kinds = kinds.into_iter().filter(|kind| kind.is_namespaced && kind.can("list") && kind.can("delete"));
        let (remaining, _) = batch::all(kinds, |kind| async move {
            Ok::<_, Error>(match self.empty_kind(namespace, &kind).await {
                Ok(remaining) => (remaining, None),
                Err(error) => (Remaining::unknown(&kind.resource), Some(source_text(&error))),
            })
        })
        .await;
        for (remaining, failure) in remaining {
            report.failures.extend(failure);
            report.remaining.push(remaining);
        }
        report
    }

    async fn empty_kind(&self, namespace: &str, kind: &Served) -> Result<Remaining, Error> {
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &kind.resource);
        let subject = Key::new(namespace, &kind.resource.plural);
        let present = self.list(&api, &subject).await?;
        if present.is_empty() {
            return Ok(Remaining::none(&kind.resource));
        }
        if kind.can("deletecollection") {
            let answer = api.delete_collection(&DeleteParams::background(), &ListParams::default()).await;
            answer.map_err(Error::at("delete all of", subject.clone()))?;
        } else {
            self.delete_each(&api, namespace, present).await?;
        }
        Ok(Remaining::of(&kind.resource, &self.list(&api, &subject).await?))
    }

    async fn list(
        &self,
        api: &Api<DynamicObject>,
        subject: &Key,
    ) -> Result<Vec<PartialObjectMeta<DynamicObject>>, Error> {
        let list = api.list_metadata(&ListParams::default()).await.map_err(Error::at("list", subject.clone()))?;
        Ok(list.items)
    }

    async fn delete_each(
        &self,
        api: &Api<DynamicObject>,
        namespace: &str,
        present: Vec<PartialObjectMeta<DynamicObject>>,
    ) -> Result<(), Error> {
        let n_all = present.len();
        let names = present.into_iter().filter_map(|object| object.metadata.name);
        let (deleted, _) =
            batch::all(names, |name| async move { api.delete(&name, &DeleteParams::background()).await.unless_gone() })
                .await;
        let n_failed = n_all - deleted.len();
        if n_failed == 0 { Ok(()) } else { Err(Error::Deletions { namespace: namespace.to_owned(), n_failed, n_all }) }
    }

    async fn write_status(
        &self,
        key: &Key,
        namespace: &Namespace,
        conditions: Vec<k8s_openapi::api::core::v1::NamespaceCondition>,
    ) -> Result<Option<Namespace>, Error> {
        let phase = Some("Terminating".to_owned());
        let status = NamespaceStatus { phase, conditions: Some(conditions) };
        if namespace.status.as_ref() == Some(&status) {
            return Ok(Some(namespace.clone()));
        }
        let api: Api<Namespace> = Api::all(self.client.clone());
        let namespace = Namespace { status: Some(status), ..namespace.clone() };
        let answer = api.replace_status(&key.name, &PostParams::default(), &namespace).await;
        answer.unless_gone().map_err(Error::at("write status of namespace", key.clone()))
    }

    async fn finalize(&self, key: &Key, mut namespace: Namespace) -> Result<(), Error> {
        if let Some(finalizers) = namespace.spec.as_mut().and_then(|spec| spec.finalizers.as_mut()) {
            finalizers.retain(|finalizer| finalizer != FINALIZER);
        }
        let api: Api<Namespace> = Api::all(self.client.clone());
        let answer: kube::Result<Namespace> =
            api.replace_subresource("finalize", &key.name, &PostParams::default(), &namespace).await;
        answer.unless_gone().map_err(Error::at("finalize namespace", key.clone()))?;
        Ok(())
    }
}

fn source_text(error: &Error) -> String {
    match error {
        Error::Api { source, .. } | Error::Discovery(source) => crate::template::message(source),
        error => error.to_string(),
    }
}
