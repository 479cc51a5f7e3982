//! What looks at a machine's network from outside: a load that counts what it loses, and a capture of what passes.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::machines::Machine;

/// A running `wrk`.
#[derive(Debug)]
pub struct Load(Child);

/// What became of a load's requests.
#[derive(Debug)]
pub struct Answers {
    pub n_requests: u64,
    /// How wrk names what went wrong; empty when nothing did.
    pub failures: String,
}

impl Load {
    /// Asks `url` from `machine` for some seconds, over connections that are kept; `None`, with a word why, without wrk.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(machine: &Machine, url: &str, seconds: u32) -> Option<Self> {
        let program = installed("wrk")?;
        let mut command = machine.command(&program);
        command.args(["-t1", "-c8", &format!("-d{seconds}s"), "--timeout", "10s", url]);
        Some(Self(command.stdout(Stdio::piped()).spawn().expect("start wrk")))
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When wrk does not print what it always prints.
    pub fn finish(self) -> Answers {
        let out = self.0.wait_with_output().expect("wait for wrk");
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let count = text.lines().find_map(|line| line.trim().split_once(" requests in "));
        let (count, _) = count.unwrap_or_else(|| panic!("wrk printed\n{text}"));
        let is_failure = |line: &&str| line.contains("Socket errors") || line.contains("Non-2xx");
        let failures = text.lines().filter(is_failure).collect::<Vec<_>>().join("; ");
        Answers { n_requests: count.parse().expect("wrk counts requests"), failures }
    }
}

/// A running `tshark` on a machine's only link.
#[derive(Debug)]
pub struct Capture {
    process: Child,
    file: PathBuf,
}

impl Capture {
    /// Begins; `None`, with a word why, without tshark.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn start(machine: &Machine, file: &Path) -> Option<Self> {
        let program = installed("tshark")?;
        let mut command = machine.command(&program);
        command.args(["-i", "eth0", "-w"]).arg(file);
        let mut process = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("start tshark");
        let mut lines = BufReader::new(process.stderr.take().expect("stderr is piped")).lines();
        let began = lines.by_ref().map_while(Result::ok).any(|line| line.contains("Capturing on"));
        assert!(began, "tshark ended before it began: {:?}", process.wait());
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Some(Self { process, file: file.to_owned() })
    }

    /// Ends, and returns the bytes that were seen, and the packets that a filter selects in words.
    ///
    /// # Panics
    /// When tshark fails.
    pub fn finish(mut self, filter: &str) -> (Vec<u8>, String) {
        let _ = Command::new("kill").args(["-INT", &self.process.id().to_string()]).status();
        let _ = self.process.wait();
        let bytes = std::fs::read(&self.file).expect("read the capture");
        let mut command = Command::new("tshark");
        let out = command.arg("-r").arg(&self.file).args(["-Y", filter]).output().expect("start tshark");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        (bytes, String::from_utf8_lossy(&out.stdout).into_owned())
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where a program of the system is; `None`, with a word, when it is not installed.
fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.exists());
    if found.is_none() {
        eprintln!("skipped what needs {program}: it is not installed");
    }
    found
}
