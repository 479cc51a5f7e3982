//! One run of something with standard streams, on behalf of a client: a command in a container, a built-in command, or the
//! container itself. Dropping it ends it.

use std::sync::Arc;

use coracle_runtime::{Exit, Pipe};
use futures::future::BoxFuture;
use serde_json::{Value, json};

use crate::attached::Ends;

/// 128 + SIGKILL, and what an abort gives.
const KILLED_CODE: i32 = 137;
const TRAP_CODE: i32 = 134;

/// A run, and its client's ends of its streams.
pub(crate) struct Run {
    /// Where what the client sends goes.
    pub(crate) stdin: Option<Arc<Pipe>>,
    /// The input ends when the client's does.
    pub(crate) owns_stdin: bool,
    pub(crate) output: Ends,
    /// Makes the program end, when somebody presses the keys for that.
    pub(crate) interrupt: Option<Box<dyn FnMut() + Send>>,
    pub(crate) outcome: BoxFuture<'static, Outcome>,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Success,
    /// The command line, and what it ended with.
    Code(Vec<String>, i32),
    /// It did not run as it should: what was tried, and why it failed.
    Failed(&'static str, String),
}

impl Outcome {
    /// How `command` ended, as a number. A trap is told of on the run's own error stream.
    pub(crate) fn of(command: Vec<String>, exit: &Exit, output: &Ends) -> Self {
        let code = match exit {
            Exit::Code(0) => return Self::Success,
            Exit::Code(code) => *code,
            Exit::Trap { message, backtrace } => {
                let text = format!("Error: {message}\n{}\n", backtrace.trim_end());
                let _ = output.stderr.push(text.into());
                TRAP_CODE
            }
            Exit::OutOfMemory { limit } => {
                let text = format!("the guest asked for more memory than its limit of {limit} bytes\n");
                let _ = output.stderr.push(text.into());
                KILLED_CODE
            }
            Exit::Killed => KILLED_CODE,
            Exit::Lost { code, message } => {
                let _ = output.stderr.push(format!("Error: {message}\n").into());
                *code
            }
        };
        Self::Code(command, code)
    }

    /// As it is told in the fourth version of the protocol and later.
    pub(crate) fn status(&self) -> Value {
        match self {
            Self::Success => json!({"metadata": {}, "status": "Success"}),
            Self::Code(_, code) => json!({
                "metadata": {}, "status": "Failure", "message": self.message(), "reason": "NonZeroExitCode",
                "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
            }),
            Self::Failed(what, why) => json!({
                "metadata": {}, "status": "Failure", "message": format!("Internal error occurred: {}", self.message()),
                "reason": "InternalError", "details": {"causes": [{"message": format!("{what}: {why}")}]}, "code": 500,
            }),
        }
    }

    /// As it is told in the protocol's earlier versions, which say nothing of success.
    pub(crate) fn message(&self) -> String {
        match self {
            Self::Success => String::new(),
            Self::Code(command, code) => format!(
                "command terminated with non-zero exit code: error executing command [{}], exit code {code}",
                command.join(" ")
            ),
            Self::Failed(what, why) => format!("{what}: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_is_told_as_clients_look_for_it() {
        let status = Outcome::Code(vec!["sh".into(), "-c".into()], 3).status();
        assert_eq!(status["details"]["causes"][0], json!({"reason": "ExitCode", "message": "3"}));
        assert_eq!(status["reason"], "NonZeroExitCode");
        assert_eq!(
            status["message"],
            "command terminated with non-zero exit code: error executing command [sh -c], exit code 3"
        );
        assert_eq!(Outcome::Success.status(), json!({"metadata": {}, "status": "Success"}));
    }
}
