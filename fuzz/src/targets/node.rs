//! What nodes read back from their disks: lines of containers' logs.

use coracle_node::logs;

pub(super) fn log(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        logs::check_line(line);
    }
}
