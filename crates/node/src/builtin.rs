//! Commands that every container has, whatever its module is: `tar` and `test`, as `kubectl cp` uses them. They see the
//! container's volumes and nothing else, and never leave them.

mod arguments;
mod create;
mod extract;
mod stdio;
#[cfg(test)]
mod tests;
mod view;

use std::io::{Read, Write};
use std::sync::Arc;

use coracle_runtime::{Container, Mount, Pipe};

use self::arguments::{Arguments, Mode};
use self::stdio::{Reader, Writer};
use self::view::View;
use crate::attached::Ends;
use crate::streams::{Outcome, Run};

/// What `tar` ends with when anything went wrong.
const TAR_FAILED: i32 = 2;

/// A command of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Builtin {
    Tar,
    Test,
}

impl Builtin {
    pub(crate) fn of(command: &[String]) -> Option<Self> {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        match words[..] {
            ["tar" | "/bin/tar" | "/usr/bin/tar", ..] => Some(Self::Tar),
            ["test" | "/bin/test" | "/usr/bin/test", "-d" | "-e" | "-f", _] => Some(Self::Test),
            _ => None,
        }
    }

    /// Starts it on the volumes of `container`.
    pub(crate) fn run(
        self,
        container: &Arc<Container>,
        command: Vec<String>,
        stdin: Option<Arc<Pipe>>,
        output: Ends,
    ) -> Run {
        let mounts = container.mounts().to_vec();
        let (input, ends) = (stdin.clone(), output.clone());
        let container = Arc::clone(container);
        let work = async move {
            let words = command.clone();
            let streams = ends.clone();
            let work = tokio::task::spawn_blocking(move || {
                let input = Reader::of(input);
                self.execute(&words[1..], mounts, input, &mut Writer(&streams.stdout), &mut Writer(&streams.stderr))
            });
            let code = tokio::select! {
                code = work => code.expect("built-in commands do not panic"),
                _ = container.wait() => 137,
            };
            ends.end();
            if code == 0 { Outcome::Success } else { Outcome::Code(command, code) }
        };
        Run { stdin, owns_stdin: true, output, interrupt: None, outcome: Box::pin(work) }
    }

    /// Runs it to its end, which is its exit code. Blocking.
    fn execute(
        self,
        args: &[String],
        mounts: Vec<Mount>,
        input: impl Read,
        output: &mut impl Write,
        errors: &mut impl Write,
    ) -> i32 {
        let view = View::new(mounts);
        match self {
            Self::Test => i32::from(!view.test(&args[0], &args[1])),
            Self::Tar => match tar(&view, args, input, output, errors) {
                Ok(true) => 0,
                Ok(false) => {
                    let _ = writeln!(errors, "tar: Exiting with failure status due to previous errors");
                    TAR_FAILED
                }
                Err(why) => {
                    let _ = writeln!(errors, "tar: {why}\ntar: Error is not recoverable: exiting now");
                    TAR_FAILED
                }
            },
        }
    }
}

fn tar(
    view: &View,
    args: &[String],
    input: impl Read,
    output: &mut impl Write,
    errors: &mut impl Write,
) -> Result<bool, String> {
    let arguments = Arguments::parse(args)?;
    match arguments.mode {
        Mode::Create => create::create(view, &arguments, output, errors),
        Mode::Extract => extract::extract(view, &arguments, input, errors),
        Mode::List => extract::list(input, output),
    }
}
