//! What this process uses as a whole: every node in it, and whatever else it is.

use rustix::time::{ClockId, clock_gettime};

use super::text::{Kind, Text};

pub(super) fn render(text: &mut Text) {
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    text.metric("process_cpu_seconds_total", Kind::Counter, "CPU time of the node's process");
    text.value("process_cpu_seconds_total", "", cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9);
    if let Some(bytes) = resident_bytes() {
        text.metric("process_resident_memory_bytes", Kind::Gauge, "Resident memory of the node's process");
        text.value("process_resident_memory_bytes", "", bytes);
    }
}

fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(resident.trim().trim_end_matches("kB").trim().parse::<u64>().ok()? * 1024)
}
