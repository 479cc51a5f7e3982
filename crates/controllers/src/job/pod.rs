//! The pods of a job. Plain values only.

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Container, EnvVar, EnvVarSource, ObjectFieldSelector, Pod};

use super::plan::Creation;
use super::view::{FAILURE_COUNT, FINALIZER, IGNORED_COUNT, INDEX};
use crate::{owners, template};

const INDEX_VARIABLE: &str = "JOB_COMPLETION_INDEX";

pub(super) fn pod(job: &Job, creation: &Creation) -> Pod {
    let spec = job.spec.as_ref().expect("a job that was read has a spec");
    let name = job.metadata.name.as_deref().unwrap_or_default();
    let namespace = job.metadata.namespace.as_deref().unwrap_or_default();
    let base = creation.index.map_or_else(|| name.to_owned(), |index| format!("{name}-{index}"));
    let mut pod = template::pod(&spec.template, namespace, &base, owners::reference_to(job));
    let finalizers = pod.metadata.finalizers.get_or_insert_default();
    if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
        finalizers.push(FINALIZER.to_owned());
    }
    if let Some(index) = creation.index {
        place(&mut pod, &base, index);
        if spec.backoff_limit_per_index.is_some() {
            count_failures(&mut pod, creation);
        }
    }
    pod
}

fn place(pod: &mut Pod, host_name: &str, index: i32) {
    let text = index.to_string();
    pod.metadata.annotations.get_or_insert_default().insert(INDEX.to_owned(), text.clone());
    pod.metadata.labels.get_or_insert_default().insert(INDEX.to_owned(), text);
    let spec = pod.spec.get_or_insert_default();
    spec.hostname = Some(host_name.to_owned());
    let init = spec.init_containers.iter_mut().flatten();
    init.chain(&mut spec.containers).for_each(tell_index);
}

fn tell_index(container: &mut Container) {
    let variables = container.env.get_or_insert_default();
    if variables.iter().any(|variable| variable.name == INDEX_VARIABLE) {
        return;
    }
    let field_ref = ObjectFieldSelector { api_version: None, field_path: format!("metadata.labels['{INDEX}']") };
    let value_from = Some(EnvVarSource { field_ref: Some(field_ref), ..EnvVarSource::default() });
    variables.push(EnvVar { name: INDEX_VARIABLE.to_owned(), value: None, value_from });
}

fn count_failures(pod: &mut Pod, creation: &Creation) {
    let annotations = pod.metadata.annotations.get_or_insert_default();
    annotations.insert(FAILURE_COUNT.to_owned(), creation.n_failures.to_string());
    if creation.n_ignored > 0 {
        annotations.insert(IGNORED_COUNT.to_owned(), creation.n_ignored.to_string());
    }
}
