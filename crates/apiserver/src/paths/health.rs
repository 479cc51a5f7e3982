//! Is the server alive, and may it be sent requests?

use std::fmt::Write;

use coracle_api::status::Status;

use crate::answer::Answer;
use crate::handler::Reply;
use crate::query::Query;
use crate::state::State;

/// One thing that is looked at.
struct Check {
    name: &'static str,
    passes: bool,
}

/// Answers `/healthz`, `/livez` or `/readyz`, or one of their checks.
pub(super) fn serve(state: &State, which: &str, check: &[&str], query: &Query) -> Result<Reply, Status> {
    let checks = checks(state, which);
    match check {
        [] => Ok(all(which, &checks, query).into()),
        [name] => match checks.iter().find(|check| check.name == *name) {
            Some(check) if check.passes => Ok(Answer::text(200, "ok").into()),
            Some(check) => Ok(Answer::text(500, format!("internal server error: {} failed\n", check.name)).into()),
            None => Ok(Answer::text(404, "404 page not found\n").into()),
        },
        _ => Ok(Answer::text(404, "404 page not found\n").into()),
    }
}

fn checks(state: &State, which: &str) -> Vec<Check> {
    let mut checks =
        vec![Check { name: "ping", passes: true }, Check { name: "store", passes: state.store.revision() > 0 }];
    if which == "readyz" {
        checks.push(Check { name: "shutdown", passes: !state.token.is_cancelled() });
    }
    checks
}

fn all(which: &str, checks: &[Check], query: &Query) -> Answer {
    let excluded = query.all("exclude");
    let counted = |check: &&Check| !excluded.iter().any(|name| name == check.name);
    let passes = checks.iter().filter(counted).all(|check| check.passes);
    if passes && !query.flag("verbose") {
        return Answer::text(200, "ok");
    }
    let mut text = String::new();
    for check in checks {
        let name = check.name;
        let _ = match (counted(&check), check.passes) {
            (false, _) => writeln!(text, "[+]{name} excluded: ok"),
            (true, true) => writeln!(text, "[+]{name} ok"),
            (true, false) => writeln!(text, "[-]{name} failed: reason withheld"),
        };
    }
    let _ = writeln!(text, "{which} check {}", if passes { "passed" } else { "failed" });
    Answer::text(if passes { 200 } else { 500 }, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_check_fails_all_unless_it_is_excluded() {
        let checks = [Check { name: "ping", passes: true }, Check { name: "shutdown", passes: false }];
        assert_eq!(all("readyz", &checks, &Query::default()).code, 500);
        assert_eq!(all("readyz", &checks, &Query::parse("exclude=shutdown")).code, 200);
        assert_eq!(all("readyz", &checks[..1], &Query::default()).code, 200);
    }
}
