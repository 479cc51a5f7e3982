//! What the kernel says of a process.

use anyhow::{Context, Result};

/// Linux's USER_HZ, the unit of utime and stime in /proc.
const TICKS_PER_SECOND: f64 = 100.0;

pub(crate) fn rss_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("VmRSS in /proc/PID/status")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let fields = stat(&pid.to_string())?;
    Ok((fields[11] + fields[12]) / TICKS_PER_SECOND)
}

/// CPU seconds of all programs that this one has started and seen to their end.
pub(crate) fn cpu_seconds_of_ended() -> Result<f64> {
    let fields = stat("self")?;
    Ok((fields[13] + fields[14]) / TICKS_PER_SECOND)
}

/// The numbers of /proc/PID/stat after the program's name and state.
fn stat(pid: &str) -> Result<Vec<f64>> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit(')').next().context("fields in /proc/PID/stat")?.split_whitespace();
    Ok(fields.map(|field| field.parse().unwrap_or(0.0)).collect())
}
