//! The lock: what a process of an isolated container may still ask of the kernel once its guest begins. It cannot be
//! opened again.
//!
//! Files: landlock allows what is beneath the container's mounts, reading or also writing. System calls: a list of those
//! that a wasm engine, its threads and its files need; all others are refused, first of all those that make sockets,
//! start programs, map executable memory, or look into other processes.

mod calls;

use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, apply_filter};

use super::Unavailable;
use crate::container::Mount;

/// The oldest landlock that is enough. What newer ones refuse besides, the list of system calls refuses too.
const LANDLOCK_MIN: ABI = ABI::V1;

/// Locks this thread, and those that it starts from now on.
pub(super) fn lock(mounts: &[Mount]) -> Result<(), Unavailable> {
    // First what may be made of files: the second lock would refuse to make the first.
    restrict_files(mounts)?;
    restrict_calls()
}

/// Whether this machine has both locks.
pub(super) fn probe() -> Result<(), Unavailable> {
    ruleset().map_err(|error| no_landlock(&error))?;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    match status.contains("\nSeccomp:") {
        true => Ok(()),
        false => Err(Unavailable { why: "the kernel has no seccomp filters".into() }),
    }
}

fn no_landlock(error: &RulesetError) -> Unavailable {
    Unavailable { why: format!("the kernel offers no landlock: {error}") }
}

fn ruleset() -> Result<RulesetCreated, RulesetError> {
    Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(LANDLOCK_MIN))?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(ABI::V5))?
        .handle_access(AccessNet::from_all(ABI::V4))?
        .scope(Scope::from_all(ABI::V6))?
        .create()
}

fn restrict_files(mounts: &[Mount]) -> Result<(), Unavailable> {
    let mut ruleset = ruleset().map_err(|error| no_landlock(&error))?;
    for mount in mounts {
        let unopened =
            |error: &dyn std::fmt::Display| Unavailable { why: format!("open {}: {error}", mount.host.display()) };
        let directory = PathFd::new(&mount.host).map_err(|error| unopened(&error))?;
        let access = access(&mount.host, mount.read_only);
        ruleset = ruleset.add_rule(PathBeneath::new(directory, access)).map_err(|error| unopened(&error))?;
    }
    ruleset.restrict_self().map_err(|error| no_landlock(&error))?;
    Ok(())
}

fn access(host: &Path, read_only: bool) -> BitFlags<AccessFs> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let write = AccessFs::WriteFile
        | AccessFs::RemoveDir
        | AccessFs::RemoveFile
        | AccessFs::MakeDir
        | AccessFs::MakeReg
        | AccessFs::MakeSym
        | AccessFs::Refer
        | AccessFs::Truncate;
    let whole = if read_only { read } else { read | write };
    if host.is_dir() { whole } else { whole & AccessFs::from_file(ABI::V5) }
}

fn restrict_calls() -> Result<(), Unavailable> {
    let refused = |error: &dyn std::fmt::Display| Unavailable { why: format!("the kernel takes no filter: {error}") };
    for filter in filters().map_err(|error| refused(&error))? {
        apply_filter(&filter).map_err(|error| refused(&error))?;
    }
    Ok(())
}

/// Two filters, of whose verdicts the stricter holds.
fn filters() -> Result<[BpfProgram; 2], seccompiler::BackendError> {
    let arch = std::env::consts::ARCH.try_into()?;
    // The C library takes this for an old kernel, and starts its threads by a call whose flags a filter can see.
    let absent = SeccompFilter::new(
        calls::absent(),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        arch,
    )?;
    let allowed = SeccompFilter::new(
        calls::allowed(std::process::id())?,
        SeccompAction::Errno(libc::EPERM.unsigned_abs()),
        SeccompAction::Allow,
        arch,
    )?;
    Ok([absent.try_into()?, allowed.try_into()?])
}

#[cfg(test)]
mod tests;
