//! Guests that behave as badly as they can: each ends as it should, and nobody else minds.

use coracle_runtime::{Exit, LoadError};

use super::host::{Fabric, load, run, runtime, start, with_name};

const MIB: u64 = 1 << 20;
/// A storm of traps.
const STORM: usize = 64;

#[tokio::test]
async fn sockets_count_against_the_memory_of_their_container() {
    let adversary = run("adversary", &["sockets"], |spec| spec.memory_max = Some(8 * MIB)).await;
    adversary.output.shows(" sockets: ").await;
    let n_sockets: u64 = adversary.output.text().split(' ').next().unwrap().parse().unwrap();
    assert!((1..512).contains(&n_sockets), "{n_sockets}");
    assert!(adversary.container.usage().memory_bytes <= 8 * MIB);
    adversary.container.kill();
    assert_eq!(adversary.exit().await, Exit::Killed);
}

#[tokio::test]
async fn memory_is_taken_up_to_the_limit_and_not_beyond() {
    let adversary = run("adversary", &["memory"], |spec| spec.memory_max = Some(16 * MIB)).await;
    assert_eq!(adversary.exit().await, Exit::OutOfMemory { limit: 16 * MIB });
    let usage = adversary.container.usage();
    assert!((12 * MIB..=16 * MIB).contains(&usage.memory_peak_bytes), "{usage:?}");
    assert!(usage.memory_last_bytes > 12 * MIB, "{usage:?}");
}

#[tokio::test]
async fn a_stack_has_an_end() {
    let adversary = run("adversary", &["deep"], |_| {}).await;
    let Exit::Trap { message, .. } = adversary.exit().await else { panic!("it did not trap") };
    assert_eq!(message, "call stack exhausted");
}

#[tokio::test]
async fn a_storm_of_traps_leaves_nothing_behind() {
    let runtime = runtime();
    let (module, job) = (load(&runtime, "adversary").await, load(&runtime, "job").await);
    let host = Fabric::new().host(1, "storm");
    let neighbour = start(&runtime, &job, &host, |spec| spec.args = with_name("job", &["1000"]));
    for _ in 0..STORM {
        let trapping = start(&runtime, &module, &host, |spec| spec.args = with_name("adversary", &["trap"]));
        assert!(matches!(trapping.exit().await, Exit::Trap { .. }));
        assert_eq!(trapping.container.usage().n_instances, 0);
    }
    assert_eq!(neighbour.exit().await, Exit::Code(0));
}

#[tokio::test]
async fn no_state_is_a_shelter() {
    for (args, words) in [
        (["spin", ""], "spinning"),
        (["accept", "80"], "waiting on 80"),
        (["resolve", "nobody.answers"], "looking up nobody.answers"),
        (["resolve", "nobody.knows"], "looking up nobody.knows"),
    ] {
        let args: Vec<&str> = args.into_iter().filter(|arg| !arg.is_empty()).collect();
        let adversary = run("adversary", &args, |_| {}).await;
        adversary.output.shows(words).await;
        // It does not listen to reason.
        adversary.container.terminate();
        adversary.container.kill();
        assert_eq!(adversary.exit().await, Exit::Killed, "{args:?}");
    }
}

#[tokio::test]
async fn a_module_too_large_for_the_compiler_is_refused_in_words() {
    let huge = vec![0; (128 << 20) + 1];
    let refused = runtime().load("huge", async || Ok(huge.into())).await.unwrap_err();
    assert!(matches!(refused, LoadError::TooMuch { .. }), "{refused}");
    assert_eq!(refused.to_string(), "compile: it has 134217729 bytes, and 134217728 are the most that is compiled");
}
