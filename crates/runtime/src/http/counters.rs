//! What an HTTP container counts of its requests. Counting costs a few atomic additions, and holds nobody up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

/// The upper bounds of the buckets of [`Latency`], in seconds. What took longer is in one more bucket.
pub const LATENCY_BOUNDS_S: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What an HTTP container has done since it started, and does now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Answers by the class of their status: 1xx, 2xx, 3xx, 4xx and 5xx. Those that the host gave are among them.
    pub n_answers: [u64; 5],
    /// Of these, the ones that the guest owed: it trapped, ended or returned without an answer.
    pub n_failed: u64,
    /// Of these, the ones that the guest took too long for.
    pub n_overdue: u64,
    /// Of these, the ones for which there was no room.
    pub n_refused: u64,
    /// Requests that an instance is at work on now.
    pub in_flight: u64,
    /// Requests that wait for their turn now.
    pub queued: u64,
    /// Instances alive now, at work or kept for the next request.
    pub n_instances: u64,
    /// Bytes read from and written to connections, heads included.
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub latency: Latency,
}

/// How long requests took, from their arrival to their answer's head.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// How many fell into each bucket of [`LATENCY_BOUNDS_S`], and how many were beyond. Not cumulative.
    pub n_by_bucket: [u64; LATENCY_BOUNDS_S.len() + 1],
    pub sum_ns: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    n_answers: [AtomicU64; 5],
    n_failed: AtomicU64,
    n_overdue: AtomicU64,
    n_refused: AtomicU64,
    in_flight: AtomicU64,
    queued: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    n_by_bucket: [AtomicU64; LATENCY_BOUNDS_S.len() + 1],
    sum_ns: AtomicU64,
}

/// Why an answer is not the guest's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Failed,
    Overdue,
    Refused,
}

impl Counters {
    pub(crate) fn answered(&self, status: StatusCode, took: Duration) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        add(&self.n_answers[class], 1);
        add(&self.n_by_bucket[bucket(took)], 1);
        add(&self.sum_ns, u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }

    pub(crate) fn fault(&self, fault: Fault) {
        match fault {
            Fault::Failed => add(&self.n_failed, 1),
            Fault::Overdue => add(&self.n_overdue, 1),
            Fault::Refused => add(&self.n_refused, 1),
        }
    }

    pub(crate) fn read(&self, n_bytes: usize) {
        add(&self.bytes_in, n_bytes as u64);
    }

    pub(crate) fn written(&self, n_bytes: usize) {
        add(&self.bytes_out, n_bytes as u64);
    }

    /// Counts a request as in flight until the result is dropped.
    pub(crate) fn begin(self: &std::sync::Arc<Self>) -> InFlight {
        add(&self.in_flight, 1);
        InFlight(std::sync::Arc::clone(self))
    }

    /// Counts a request as queued until the result is dropped.
    pub(crate) fn queue(&self) -> Queued<'_> {
        add(&self.queued, 1);
        Queued(self)
    }

    pub(crate) fn reading(&self, n_instances: u64) -> Requests {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Requests {
            n_answers: self.n_answers.each_ref().map(get),
            n_failed: get(&self.n_failed),
            n_overdue: get(&self.n_overdue),
            n_refused: get(&self.n_refused),
            in_flight: get(&self.in_flight),
            queued: get(&self.queued),
            n_instances,
            bytes_in: get(&self.bytes_in),
            bytes_out: get(&self.bytes_out),
            latency: Latency { n_by_bucket: self.n_by_bucket.each_ref().map(get), sum_ns: get(&self.sum_ns) },
        }
    }
}

pub(crate) struct InFlight(std::sync::Arc<Counters>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

pub(crate) struct Queued<'a>(&'a Counters);

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Ordering::Relaxed);
    }
}

fn add(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

fn bucket(took: Duration) -> usize {
    let took_s = took.as_secs_f64();
    LATENCY_BOUNDS_S.iter().position(|bound| took_s <= *bound).unwrap_or(LATENCY_BOUNDS_S.len())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn an_answer_is_counted_by_class_and_time() {
        let counters = Arc::new(Counters::default());
        counters.answered(StatusCode::OK, Duration::from_millis(1));
        counters.answered(StatusCode::BAD_GATEWAY, Duration::from_secs(11));
        counters.fault(Fault::Failed);
        let reading = counters.reading(3);
        assert_eq!((reading.n_answers, reading.n_failed, reading.n_instances), ([0, 1, 0, 0, 1], 1, 3));
        assert_eq!((reading.latency.n_by_bucket[1], reading.latency.n_by_bucket[14]), (1, 1));
        assert_eq!(reading.latency.sum_ns, 11_001_000_000);
    }

    #[test]
    fn what_is_in_flight_or_queued_is_so_until_it_is_dropped() {
        let counters = Arc::new(Counters::default());
        let (in_flight, queued) = (counters.begin(), counters.queue());
        let reading = counters.reading(0);
        assert_eq!((reading.in_flight, reading.queued), (1, 1));
        drop((in_flight, queued));
        assert_eq!(counters.reading(0), Requests::default());
    }
}
