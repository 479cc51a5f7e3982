//! Carries what a process writes to where its container's output goes, no faster than it is taken.

use std::future::poll_fn;
use std::sync::Arc;

use bytes::Bytes;

use crate::container::{Output, StdStream};
use crate::isolated::channel::Packets;
use crate::isolated::child::{OUT_MAX, STDERR, STDOUT};

/// Returns when the process has ended and all has been carried.
pub(super) async fn carry(from: Packets, to: Arc<dyn Output>) {
    let mut packet = vec![0; OUT_MAX + 1];
    while let Ok(n @ 1..) = from.recv(&mut packet).await {
        let stream = match packet[0] {
            STDOUT => StdStream::Stdout,
            STDERR => StdStream::Stderr,
            _ => return,
        };
        poll_fn(|cx| to.poll_ready(stream, cx)).await;
        to.write(stream, Bytes::copy_from_slice(&packet[1..n]));
    }
}
