//! libFuzzer around the target that `CORACLE_FUZZ_TARGET` names.
#![no_main]

use std::sync::LazyLock;

use coracle_fuzz::{TARGETS, Target};

static CHOSEN: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("CORACLE_FUZZ_TARGET").expect("`cargo xtask fuzz` names a target");
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("there is no target {name:?}"))
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| (CHOSEN.run)(bytes));
