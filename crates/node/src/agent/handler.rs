//! Which way of running containers a pod's RuntimeClass names.

use std::time::Duration;

use coracle_runtime::Runtime;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::Api;

use super::sandbox::Failure;
use crate::error::chain;

/// The handler whose containers have processes of their own.
const ISOLATED: &str = "isolated";
/// How long reading the class may take.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handler {
    /// In the agent's process, as pods without a class.
    Shared,
    Isolated,
}

/// The handler of `pod`, if this node has it.
pub(super) async fn of(reader: &kube::Client, runtime: &Runtime, pod: &core::Pod) -> Result<Handler, Failure> {
    let class = pod.spec.as_ref().and_then(|spec| spec.runtime_class_name.as_deref());
    let Some(class) = class.filter(|class| !class.is_empty()) else { return Ok(Handler::Shared) };
    let classes: Api<RuntimeClass> = Api::all(reader.clone());
    let found = match tokio::time::timeout(PATIENCE, classes.get(class)).await {
        Ok(found) => found.map_err(|error| failure(&format!("RuntimeClass {class:?}: {}", chain(&error))))?,
        Err(_) => return Err(failure("timed out waiting for the API")),
    };
    let handler = named(&found.handler).map_err(|why| failure(&why))?;
    if handler == Handler::Isolated {
        runtime.isolates().map_err(|error| failure(&error.to_string()))?;
    }
    Ok(handler)
}

fn named(handler: &str) -> Result<Handler, String> {
    match handler {
        ISOLATED => Ok(Handler::Isolated),
        other => Err(format!("no runtime for {other:?} is configured")),
    }
}

fn failure(why: &str) -> Failure {
    let message = format!("Failed to create pod sandbox: {why}");
    Failure { reason: "FailedCreatePodSandBox", message }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_that_nobody_has_is_refused_in_words() {
        assert_eq!(named("isolated"), Ok(Handler::Isolated));
        assert_eq!(named("gvisor"), Err("no runtime for \"gvisor\" is configured".to_owned()));
    }
}
