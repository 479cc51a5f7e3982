//! Creating and deleting the pods of an owner, and telling of it. It decides nothing.

use coracle_client::{EventType, Key, Recorder, is_not_found};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, PostParams, Preconditions};
use kube::{Api, Client, Resource};

use crate::outstanding::{Doubt, Fate, Outstanding};
use crate::{Error, template};

/// One loop's hands.
pub(crate) struct PodControl {
    pub(crate) client: Client,
    pub(crate) recorder: Recorder,
    pub(crate) outstanding: Outstanding,
}

impl PodControl {
    /// Finds out what became of writes whose answers were lost, before anything else is done for `owner`.
    pub(crate) async fn resolve(&self, key: &Key, owner: &ObjectMeta) -> Result<(), Error> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        self.outstanding.resolve(key, owner.uid.as_deref(), &api).await
    }

    /// True when a pod was made; false when the namespace is going and nothing will be.
    pub(crate) async fn create<O>(&self, key: &Key, owner: &O, pod: &Pod) -> Result<bool, Error>
    where
        O: Resource<DynamicType = ()>,
    {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        match api.create(&PostParams::default(), pod).await {
            Ok(created) => {
                self.outstanding.wrote(key, &created.metadata);
                let name = created.metadata.name.unwrap_or_default();
                self.recorder.event(owner, EventType::Normal, "SuccessfulCreate", format!("Created pod: {name}"));
                Ok(true)
            }
            Err(error) if template::is_namespace_ending(&error) => Ok(false),
            Err(error) => {
                self.outstanding.failed(key, Doubt::created(&pod.metadata), &error);
                let text = format!("Error creating: {}", template::message(&error));
                self.recorder.event(owner, EventType::Warning, "FailedCreate", text);
                Err(Error::at("create a pod of", key.clone())(error))
            }
        }
    }

    pub(crate) async fn delete<O>(&self, key: &Key, owner: &O, pod: &Pod) -> Result<(), Error>
    where
        O: Resource<DynamicType = ()>,
    {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), &key.namespace);
        let ObjectMeta { name, uid, .. } = &pod.metadata;
        let name = name.as_deref().unwrap_or_default();
        let preconditions = Some(Preconditions { uid: uid.clone(), ..Preconditions::default() });
        match api.delete(name, &DeleteParams { preconditions, ..DeleteParams::default() }).await {
            Ok(answer) => {
                self.outstanding.deleted(key, uid.as_deref(), Fate::of(answer.left().as_ref()));
                self.recorder.event(owner, EventType::Normal, "SuccessfulDelete", format!("Deleted pod: {name}"));
                Ok(())
            }
            Err(error) if is_not_found(&error) => Ok(()),
            Err(error) => {
                self.outstanding.failed(key, Doubt::deleted(&pod.metadata), &error);
                let text = format!("Error deleting: {}", template::message(&error));
                self.recorder.event(owner, EventType::Warning, "FailedDelete", text);
                Err(Error::at("delete", Key::of(&pod.metadata))(error))
            }
        }
    }
}
