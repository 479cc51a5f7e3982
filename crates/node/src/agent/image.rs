//! Has a container's image here, as its pull policy says, and its module loaded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coracle_oci::Reference;
use coracle_runtime::{LoadError, Module};
use k8s_openapi::api::core::v1 as core;

use super::Context;
use super::handler::Handler;
use crate::error::chain;
use crate::images::{OwnRegistry, Present};
use crate::lifecycle::{ContainerPlan, Notice, Plan, PullPolicy, Severity};

/// An image that is ready to run.
#[derive(Clone)]
pub(super) struct Loaded {
    pub(super) id: String,
    pub(super) module: Arc<Module>,
}

/// Why a container waits: its reason and message.
pub(super) type Refusal = (&'static str, String);

pub(super) async fn load(
    context: Arc<Context>,
    pod: Arc<core::Pod>,
    plan: Arc<Plan>,
    container: usize,
    handler: Handler,
) -> Result<Loaded, Refusal> {
    let planned = &plan.containers[container];
    let reference: Reference =
        planned.image.parse().map_err(|error: coracle_oci::Error| ("InvalidImageName", chain(&error)))?;
    let tell = |reason: &'static str, message: String| {
        context.tell(&pod, &plan, Notice::new(Severity::Normal, reason, message, container));
    };
    let present = have(&context, planned, &reference, tell).await?;
    let read = || context.images.read(&present);
    let loaded = match handler {
        Handler::Shared => context.runtime.load(&present.layer, read).await,
        Handler::Isolated => context.runtime.load_isolated(&present.layer, read).await,
    };
    match loaded {
        Ok(module) => Ok(Loaded { id: present.id.clone(), module }),
        Err(error) => {
            context.images.forget(&reference);
            Err((reason(&error), chain(&error)))
        }
    }
}

/// The image, found or pulled.
async fn have(
    context: &Context,
    planned: &ContainerPlan,
    reference: &Reference,
    tell: impl Fn(&'static str, String),
) -> Result<Present, Refusal> {
    let image = &planned.image;
    let found = match planned.pull_policy {
        PullPolicy::Always => None,
        PullPolicy::IfNotPresent | PullPolicy::Never => context.images.find(reference).await,
    };
    if let Some(found) = found {
        tell("Pulled", format!("Container image \"{image}\" already present on machine"));
        return Ok(found);
    }
    if planned.pull_policy == PullPolicy::Never {
        let message = format!("Container image \"{image}\" is not present with pull policy of Never");
        return Err(("ErrImageNeverPull", message));
    }
    tell("Pulling", format!("Pulling image \"{image}\""));
    let began = Instant::now();
    let road = OwnRegistry(context.client.clone());
    let pulled = context.images.pull(&road, reference).await.map_err(|error| ("ErrImagePull", chain(&error)))?;
    let took = go_duration(began.elapsed());
    let size = pulled.size;
    tell(
        "Pulled",
        format!(
            "Successfully pulled image \"{image}\" in {took} ({took} including waiting). Image size: {size} bytes."
        ),
    );
    Ok(pulled)
}

/// What a module that cannot be loaded makes its container wait for.
fn reason(error: &LoadError) -> &'static str {
    match error {
        LoadError::NotWasm { .. } => "NotWasm",
        LoadError::Truncated { .. } => "TruncatedModule",
        LoadError::Invalid { .. } => "InvalidModule",
        LoadError::UnknownImport { .. } => "UnknownImport",
        LoadError::NoEntry { .. } => "NoEntryPoint",
        LoadError::Read(_) => "ErrImageRead",
        LoadError::CompileTimeout { .. } => "CompileTimeout",
        LoadError::CompileOutOfMemory { .. } => "CompileOutOfMemory",
        LoadError::TooMuch { .. } | LoadError::Internal { .. } => "CompileError",
    }
}

/// As Go prints a duration, to the millisecond.
fn go_duration(time: Duration) -> String {
    let ms = time.as_millis();
    if ms < 1000 { format!("{ms}ms") } else { format!("{}.{:03}s", ms / 1000, ms % 1000) }
}
