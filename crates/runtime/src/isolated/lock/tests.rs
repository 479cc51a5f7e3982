//! Each locks a thread of its own, and tries what a guest that had escaped would try.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use rustix::fs::{CWD, Mode, mkdirat, renameat};

use super::*;

fn locked<T: Send + 'static>(mounts: Vec<Mount>, attempt: impl FnOnce() -> T + Send + 'static) -> T {
    let attempt = move || {
        lock(&mounts).unwrap();
        attempt()
    };
    thread::spawn(attempt).join().unwrap()
}

fn mount(host: PathBuf, read_only: bool) -> Mount {
    Mount { host, guest: "/".into(), read_only }
}

fn refusal<T>(result: io::Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

const REFUSED: Option<ErrorKind> = Some(ErrorKind::PermissionDenied);

#[test]
fn sockets_cannot_be_made() {
    let refusals = locked(Vec::new(), || {
        [
            refusal(TcpListener::bind("127.0.0.1:0")),
            refusal(TcpStream::connect("127.0.0.1:1")),
            refusal(UdpSocket::bind("127.0.0.1:0")),
            refusal(UnixStream::pair()),
            refusal(UnixDatagram::unbound()),
        ]
    });
    assert_eq!(refusals, [REFUSED; 5]);
}

#[test]
fn files_outside_of_the_mounts_cannot_be_opened() {
    let refusals = locked(Vec::new(), || {
        [
            refusal(File::open("/etc/passwd")),
            refusal(fs::read_dir("/")),
            refusal(File::open("/proc/self/maps")),
            refusal(File::create("/tmp/never")),
            refusal(fs::remove_file("/etc/passwd")),
        ]
    });
    assert_eq!(refusals, [REFUSED; 5]);
}

#[test]
fn programs_and_processes_cannot_be_started() {
    assert_eq!(locked(Vec::new(), || refusal(Command::new("/bin/true").spawn())), REFUSED);
}

#[test]
fn nothing_becomes_executable() {
    let errors = locked(Vec::new(), || {
        use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};
        let null = std::ptr::null_mut();
        let (plain, private) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        #[expect(unsafe_code, reason = "mapping memory is, whatever it is for")]
        // SAFETY: the kernel chooses the place, and nobody uses it.
        unsafe {
            let mapped = rustix::mm::mmap_anonymous(null, 4096, plain, private).unwrap();
            [
                rustix::mm::mmap_anonymous(null, 4096, plain | ProtFlags::EXEC, private).err(),
                rustix::mm::mprotect(mapped, 4096, MprotectFlags::READ | MprotectFlags::EXEC).err(),
            ]
        }
    });
    assert_eq!(errors, [Some(rustix::io::Errno::PERM); 2]);
}

#[test]
fn other_processes_are_out_of_reach() {
    let parent = std::os::unix::process::parent_id();
    let errors = locked(Vec::new(), move || {
        use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};
        let parent = Pid::from_raw(i32::try_from(parent).unwrap()).unwrap();
        let limit = Rlimit { current: Some(1), maximum: Some(1) };
        [
            kill_process(parent, Signal::TERM).err(),
            prlimit(Some(parent), Resource::Core, limit).err(),
            rustix::process::pidfd_open(parent, rustix::process::PidfdFlags::empty()).err(),
        ]
    });
    assert_eq!(errors, [Some(rustix::io::Errno::PERM); 3]);
}

#[test]
fn mounts_can_be_used_as_they_were_given() {
    let (shown, given) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    fs::write(shown.path().join("file"), "text").unwrap();
    let (read, written) = (shown.path().join("file"), given.path().join("file"));
    let mounts = vec![mount(shown.path().into(), true), mount(given.path().into(), false)];
    let outcome = locked(mounts, move || {
        let mut text = String::new();
        File::open(&read).unwrap().read_to_string(&mut text).unwrap();
        fs::write(&written, "more").unwrap();
        let dir = written.with_extension("dir");
        mkdirat(CWD, &dir, Mode::RWXU).unwrap();
        renameat(CWD, &written, CWD, dir.join("moved")).unwrap();
        (text, [refusal(fs::write(&read, "less")), refusal(fs::remove_file(&read))])
    });
    assert_eq!(outcome, ("text".into(), [REFUSED; 2]));
}

#[test]
fn threads_can_be_started_and_are_locked_too() {
    let inner = locked(Vec::new(), || thread::spawn(|| refusal(File::open("/etc/passwd"))).join().unwrap());
    assert_eq!(inner, REFUSED);
}

#[test]
fn this_machine_has_both_locks() {
    probe().unwrap();
}
