use std::path::{Path, PathBuf};
use std::time::Instant;

use peak_alloc::PeakAlloc;

use crate::{Mutator, TARGETS, Target};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const N_MUTATIONS: usize = 3000;
/// Targets are slow while nothing is optimised: what is left out is left to the next seed.
const SECONDS_MAX: f32 = 5.0;
fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let dir: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Runs one input, and names it when it fails.
fn check(target: &Target, bytes: &[u8]) {
    MEMORY.reset_peak_usage();
    let before = MEMORY.current_usage();
    let outcome = std::panic::catch_unwind(|| (target.run)(bytes));
    assert!(outcome.is_ok(), "{}: {:?}", target.name, String::from_utf8_lossy(bytes));
    let taken = MEMORY.peak_usage().saturating_sub(before);
    let taken_max = target.always_max + bytes.len() * target.growth_max;
    assert!(
        taken <= taken_max,
        "{} took {taken} bytes for {}: {:?}",
        target.name,
        bytes.len(),
        String::from_utf8_lossy(bytes)
    );
}

fn fuzz(name: &str) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("the target is there");
    let seeds = corpus(target);
    assert!(!seeds.is_empty(), "{name} has no seeds");
    // What is made once is made before it is measured.
    seeds.iter().for_each(|seed| (target.run)(seed));
    seeds.iter().for_each(|seed| check(target, seed));
    let (started, mut mutator) = (Instant::now(), Mutator::new(0x00c0_7ac1_e000));
    for _ in 0..N_MUTATIONS {
        check(target, &mutator.next(&seeds));
        if started.elapsed().as_secs_f32() > SECONDS_MAX {
            return;
        }
    }
}

macro_rules! targets {
    ($($test:ident: $name:literal),* $(,)?) => {
        $(
            #[test]
            fn $test() {
                fuzz($name);
            }
        )*

        #[test]
        fn every_target_is_tested() {
            let tested = [$($name),*];
            let left_out: Vec<_> = TARGETS.iter().filter(|target| !tested.contains(&target.name)).collect();
            assert!(left_out.is_empty(), "{left_out:?}");
        }
    };
}

targets! {
    json_of_any_sort: "json",
    yaml_of_any_sort: "yaml",
    protobuf_of_any_sort: "protobuf",
    patches_of_any_sort: "patch",
    applies_of_any_sort: "apply",
    selectors_of_any_sort: "selectors",
    quantities_of_any_sort: "quantity",
    requests_of_any_sort: "request",
    continue_tokens_of_any_sort: "continue",
    images_of_any_sort: "image",
    logs_of_any_sort: "log",
    sessions_of_spdy: "spdy",
}
