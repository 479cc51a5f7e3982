//! A command in a running container: a built-in one on its volumes, or its own module with other arguments.

use std::sync::Arc;

use coracle_runtime::{Container, Exec, Pipe, Stdin};

use crate::attached::Ends;
use crate::builtin::Builtin;
use crate::streams::{Outcome, Run};

/// 128 + SIGINT.
const INTERRUPTED_CODE: i32 = 130;

/// Starts `command` in `container`. `failed` names what was tried, for when it cannot be started.
pub(crate) fn run(
    container: &Arc<Container>,
    command: Vec<String>,
    stdin: bool,
    terminal: bool,
    failed: &'static str,
) -> Run {
    let output = Ends::default();
    let pipe = stdin.then(Arc::<Pipe>::default);
    if command.is_empty() {
        return refused(output, failed, "no command was given".to_owned());
    }
    if let Some(builtin) = Builtin::of(&command) {
        return builtin.run(container, command, pipe, output);
    }
    let stdin = pipe.as_ref().map_or(Stdin::Empty, |pipe| Stdin::Pipe(Arc::clone(pipe)));
    let exec = Exec { args: command.clone(), stdin, terminal, output: Arc::new(output.clone()) };
    let started = match container.exec(exec) {
        Ok(started) => Arc::new(started),
        Err(error) => return refused(output, failed, error.to_string()),
    };
    let ends = output.clone();
    let interrupted = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let (killed, was_interrupted) = (Arc::clone(&started), Arc::clone(&interrupted));
    Run {
        stdin: pipe,
        owns_stdin: true,
        output,
        interrupt: Some(Box::new(move || {
            interrupted.store(true, std::sync::atomic::Ordering::Relaxed);
            killed.kill();
        })),
        outcome: Box::pin(async move {
            let exit = started.wait().await;
            let outcome = if was_interrupted.load(std::sync::atomic::Ordering::Relaxed) {
                Outcome::Code(command, INTERRUPTED_CODE)
            } else {
                Outcome::of(command, &exit, &ends)
            };
            ends.end();
            outcome
        }),
    }
}

fn refused(output: Ends, failed: &'static str, why: String) -> Run {
    output.end();
    Run {
        stdin: None,
        owns_stdin: true,
        output,
        interrupt: None,
        outcome: Box::pin(async move { Outcome::Failed(failed, why) }),
    }
}
