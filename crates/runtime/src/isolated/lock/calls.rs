//! The system calls that a locked process keeps. Pure.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{BackendError, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompRule};

/// Calls, and for each the conditions of which one must hold; none means always.
type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Memory, threads, time and signals of this process itself.
const OWN: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_memfd_create,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_gettid,
    libc::SYS_getpid,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getcpu,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_uname,
    libc::SYS_sysinfo,
];

/// What is open already: files, and the sockets that the agent gave.
const OPEN: &[c_long] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_lseek,
    libc::SYS_close,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_fcntl,
    libc::SYS_ftruncate,
    libc::SYS_fallocate,
    libc::SYS_fadvise64,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_copy_file_range,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_getdents64,
    libc::SYS_recvmsg,
    libc::SYS_recvfrom,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_shutdown,
    libc::SYS_ppoll,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_eventfd2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_epoll_wait,
];

/// Files by name: which of them, landlock says.
const NAMED: &[c_long] = &[
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_readlinkat,
    libc::SYS_mkdirat,
    libc::SYS_unlinkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_linkat,
    libc::SYS_symlinkat,
    libc::SYS_utimensat,
];

/// Calls that are answered as if the kernel did not know them.
pub(super) fn absent() -> Rules {
    BTreeMap::from([(libc::SYS_clone3, Vec::new())])
}

/// Calls that the process numbered `pid` may make.
pub(super) fn allowed(pid: u32) -> Result<Rules, BackendError> {
    let always = [OWN, OPEN, NAMED].concat();
    let mut rules: Rules = always.into_iter().map(|call| (call, Vec::new())).collect();
    // The first filter turns it away.
    rules.insert(libc::SYS_clone3, Vec::new());
    let masked = |mask: i32| SeccompCmpOp::MaskedEq(u64::from(mask.unsigned_abs()));
    let has_none = |mask: i32| (masked(mask), 0);
    let has_all = |mask: i32| (masked(mask), mask.unsigned_abs());
    let is = |value: u32| (SeccompCmpOp::Eq, value);
    // Threads, but no processes.
    rules.insert(libc::SYS_clone, vec![argument(0, has_all(libc::CLONE_THREAD | libc::CLONE_VM))?]);
    // Code comes from the agent alone: nothing becomes executable any more.
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        rules.insert(call, vec![argument(2, has_none(libc::PROT_EXEC))?]);
    }
    // Signals to itself, as `abort` sends.
    rules.insert(libc::SYS_tgkill, vec![argument(0, is(pid))?]);
    // Limits are read, not set.
    rules.insert(libc::SYS_prlimit64, vec![wide_argument(2, 0)?]);
    let names = [libc::PR_SET_NAME.unsigned_abs(), libc::PR_SET_VMA.unsigned_abs()];
    rules.insert(libc::SYS_prctl, names.into_iter().map(|name| argument(0, is(name))).collect::<Result<_, _>>()?);
    let asked = [libc::FIONBIO as u32, libc::FIONREAD as u32, libc::TCGETS as u32];
    rules.insert(libc::SYS_ioctl, asked.into_iter().map(|what| argument(1, is(what))).collect::<Result<_, _>>()?);
    Ok(rules)
}

/// An operation and the value that it compares with.
type Comparison = (SeccompCmpOp, u32);

fn argument(index: u8, (operation, value): Comparison) -> Result<SeccompRule, BackendError> {
    let condition = SeccompCondition::new(index, SeccompCmpArgLen::Dword, operation, u64::from(value))?;
    SeccompRule::new(vec![condition])
}

fn wide_argument(index: u8, value: u64) -> Result<SeccompRule, BackendError> {
    SeccompRule::new(vec![SeccompCondition::new(index, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, value)?])
}
