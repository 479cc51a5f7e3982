//! Socket options. A stream in user space has no use for them: they are checked, kept and read back.

use super::bindings::wasi::sockets::network::ErrorCode;

const SECOND_NS: u64 = 1_000_000_000;
/// What Linux allows at most.
const KEEP_ALIVE_TIME_MAX_NS: u64 = i16::MAX as u64 * SECOND_NS;
const KEEP_ALIVE_COUNT_MAX: u32 = i8::MAX as u32;
const BUFFER_MAX: u64 = i32::MAX as u64;

/// What a guest may set on a socket, with Linux's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) keep_alive: bool,
    pub(crate) keep_alive_idle_ns: u64,
    pub(crate) keep_alive_interval_ns: u64,
    pub(crate) keep_alive_count: u32,
    pub(crate) hop_limit: u8,
    pub(crate) receive_buffer: u64,
    pub(crate) send_buffer: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keep_alive: false,
            keep_alive_idle_ns: 7200 * SECOND_NS,
            keep_alive_interval_ns: 75 * SECOND_NS,
            keep_alive_count: 9,
            hop_limit: 64,
            receive_buffer: 64 << 10,
            send_buffer: 64 << 10,
        }
    }
}

/// A time of keep-alive.
pub(crate) fn keep_alive_time(ns: u64) -> Result<u64, ErrorCode> {
    positive(ns).map(|ns| ns.clamp(SECOND_NS, KEEP_ALIVE_TIME_MAX_NS))
}

pub(crate) fn keep_alive_count(count: u32) -> Result<u32, ErrorCode> {
    positive(count).map(|count| count.min(KEEP_ALIVE_COUNT_MAX))
}

pub(crate) fn buffer_size(size: u64) -> Result<u64, ErrorCode> {
    positive(size).map(|size| size.min(BUFFER_MAX))
}

/// Zero is what the specification refuses everywhere.
pub(crate) fn positive<T: Default + PartialEq>(value: T) -> Result<T, ErrorCode> {
    if value == T::default() { Err(ErrorCode::InvalidArgument) } else { Ok(value) }
}
