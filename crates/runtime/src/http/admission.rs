//! Who may have an instance now, who waits for one, and who is turned away.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::http::counters::Counters;

/// How long a request waits for its turn when its container sets no limit to its time.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The places of one container: some to be served at, and some to wait at.
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    n_places: u32,
    waiting: Semaphore,
    wait_max: Duration,
}

/// There is no place, not even one to wait at; or none became free in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl Admission {
    pub(crate) fn new(n_places: usize, n_waiting_max: usize, time_max: Option<Duration>) -> Self {
        let n_places = u32::try_from(n_places).unwrap_or(u32::MAX);
        let semaphore = |n: usize| Semaphore::new(n.min(Semaphore::MAX_PERMITS));
        Self {
            places: Arc::new(semaphore(n_places as usize)),
            n_places,
            waiting: semaphore(n_waiting_max),
            wait_max: time_max.unwrap_or(WAIT_MAX),
        }
    }

    /// A place, now or soon. Who came first gets the next one.
    pub(crate) async fn admit(&self, counters: &Counters) -> Result<OwnedSemaphorePermit, Full> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let _waiting = self.waiting.try_acquire().map_err(|_| Full)?;
        let _queued = counters.queue();
        let acquired = timeout(self.wait_max, Arc::clone(&self.places).acquire_owned()).await;
        Ok(acquired.map_err(|_| Full)?.expect("it is never closed"))
    }

    /// Returns when nobody has a place, nor waits for one.
    pub(crate) async fn emptied(&self) {
        let _all = self.places.acquire_many(self.n_places).await.expect("it is never closed");
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn whoever_comes_first_is_served_next_and_the_queue_has_an_end() {
        let (admission, counters) = (Admission::new(1, 1, None), Counters::default());
        let first = admission.admit(&counters).await.unwrap();
        let mut second = std::pin::pin!(admission.admit(&counters));
        assert!(second.as_mut().now_or_never().is_none());
        assert_eq!(counters.reading(0).queued, 1);
        assert_eq!(admission.admit(&counters).await.unwrap_err(), Full);
        drop(first);
        drop(second.await.unwrap());
        admission.emptied().await;
        assert_eq!(counters.reading(0).queued, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_longer_than_a_request_may_take() {
        let (admission, counters) = (Admission::new(1, 1, Some(Duration::from_secs(2))), Counters::default());
        let _first = admission.admit(&counters).await.unwrap();
        let began = tokio::time::Instant::now();
        assert_eq!(admission.admit(&counters).await.unwrap_err(), Full);
        assert_eq!(began.elapsed(), Duration::from_secs(2));
    }
}
