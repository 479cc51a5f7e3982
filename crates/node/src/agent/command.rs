//! Probes and hooks that are commands in their container.

use std::time::Duration;

use super::Running;
use crate::exec;
use crate::lifecycle::Outcome;
use crate::streams;

/// Bytes of a command's output that are told of.
const OUTPUT_BYTES_MAX: usize = 10 << 10;

/// Runs `command` in the container, and says how it ended in kubelet's words.
pub(super) async fn probe(running: Option<Running>, command: Vec<String>, timeout: Duration) -> Outcome {
    let Some(running) = running else { return Outcome::Unknown("the container has ended".to_owned()) };
    match tokio::time::timeout(timeout, ended(&running, command)).await {
        Ok((streams::Outcome::Success, _)) => Outcome::Success,
        Ok((streams::Outcome::Code(..), output)) => Outcome::Failure(output),
        Ok((streams::Outcome::Failed(_, why), _)) => Outcome::Unknown(why),
        Err(_) => Outcome::Failure(format!("command timed out: timeout {}s", timeout.as_secs())),
    }
}

/// Runs `command` in the container as a hook.
pub(super) async fn hook(running: Option<Running>, command: Vec<String>) -> Result<(), String> {
    let running = running.ok_or("the container has ended")?;
    match ended(&running, command).await {
        (streams::Outcome::Success, _) => Ok(()),
        (outcome @ streams::Outcome::Code(..), output) => Err(format!("{}, message: {output:?}", outcome.message())),
        (streams::Outcome::Failed(_, why), _) => Err(why),
    }
}

/// How `command` ended, and the beginning of what it wrote.
async fn ended(running: &Running, command: Vec<String>) -> (streams::Outcome, String) {
    let mut run = exec::run(&running.container, command, false, false, "exec");
    let (stdout, stderr) = (run.output.stdout.clone(), run.output.stderr.clone());
    let read = async |pipe: &coracle_runtime::Pipe| {
        let mut kept = Vec::new();
        while let Some(bytes) = pipe.read(OUTPUT_BYTES_MAX).await {
            kept.extend_from_slice(&bytes[..bytes.len().min(OUTPUT_BYTES_MAX - kept.len())]);
        }
        kept
    };
    let (outcome, mut output, errors) = tokio::join!(&mut run.outcome, read(&stdout), read(&stderr));
    output.extend(errors);
    output.truncate(OUTPUT_BYTES_MAX);
    (outcome, String::from_utf8_lossy(&output).into_owned())
}
