//! SIGTERM and Ctrl-C: the first drains, the second leaves at once.

use std::future::Future;

use coracle_stdx::CancellationToken;
use tokio::signal::unix::{SignalKind, signal};

/// What shells report for a program that Ctrl-C ended.
const EXIT_AT_ONCE: i32 = 130;

/// Runs `work`, cancelling `token` at the first signal and ending the process at the second.
pub(crate) async fn drain_on_signal(
    token: &CancellationToken,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::pin!(work);
    loop {
        tokio::select! {
            result = &mut work => return result,
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        if token.is_cancelled() {
            std::process::exit(EXIT_AT_ONCE);
        }
        token.cancel();
    }
}
