//! Doing the same thing many times: carefully at first, then all at once, within a bound.

use std::future::Future;

use futures::{StreamExt, stream};

const FIRST_BATCH: usize = 1;
/// Requests of one reconcile that are under way together.
const IN_FLIGHT_MAX: usize = 64;

/// Calls `act` for 0..n in batches of 1, 2, 4, …; after a batch with a failure the rest is left undone.
///
/// A quota or a webhook that refuses everything is then asked once, not n times.
pub(crate) async fn slow_start<T, E, F>(n: usize, act: impl Fn(usize) -> F) -> (Vec<T>, Option<E>)
where
    F: Future<Output = Result<T, E>>,
{
    let (mut done, mut failure) = (Vec::new(), None);
    let (mut started, mut batch) = (0, FIRST_BATCH);
    while started < n && failure.is_none() {
        let ended = (n).min(started + batch);
        let (succeeded, failed) = all(started..ended, &act).await;
        done.extend(succeeded);
        failure = failed;
        (started, batch) = (ended, batch * 2);
    }
    (done, failure)
}

/// Calls `act` for every item, and returns what succeeded and the first failure.
pub(crate) async fn all<I, T, E, F>(items: impl IntoIterator<Item = I>, act: impl Fn(I) -> F) -> (Vec<T>, Option<E>)
where
    F: Future<Output = Result<T, E>>,
{
    let results: Vec<Result<T, E>> = stream::iter(items).map(act).buffer_unordered(IN_FLIGHT_MAX).collect().await;
    let (mut done, mut failure) = (Vec::new(), None);
    for result in results {
        match result {
            Ok(value) => done.push(value),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    (done, failure)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_refusal_stops_the_rest() {
        let n_calls = AtomicUsize::new(0);
        let (done, failure) = slow_start(100, |i| {
            n_calls.fetch_add(1, Ordering::Relaxed);
            async move { if i < 3 { Ok(i) } else { Err("refused") } }
        })
        .await;
        assert_eq!((done.len(), failure), (3, Some("refused")));
        assert_eq!(n_calls.load(Ordering::Relaxed), 7, "batches of 1, 2 and 4");
    }

    #[tokio::test]
    async fn everything_is_done_when_nothing_fails() {
        let (done, failure) = slow_start(100, |i| async move { Ok::<_, ()>(i) }).await;
        assert_eq!((done.len(), failure), (100, None));
    }
}
