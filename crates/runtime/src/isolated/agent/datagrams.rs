//! Carries datagrams between a process and a socket of its pod.

use std::io::IoSlice;
use std::sync::Arc;

use bytes::Bytes;

use crate::isolated::channel::Packets;
use crate::isolated::child::datagram::{ADDRESS_BYTES, DATAGRAM_MAX, REFUSED, address_of, bytes_of};
use crate::network::{Datagrams, NetworkError};

/// Returns when the process has dropped its end.
pub(super) async fn carry(socket: Arc<dyn Datagrams>, process: Packets) {
    tokio::select! {
        () = outbound(&*socket, &process) => {}
        () = inbound(&*socket, &process) => {}
    }
}

async fn outbound(socket: &dyn Datagrams, process: &Packets) {
    let mut packet = vec![0; ADDRESS_BYTES + DATAGRAM_MAX];
    while let Ok(n @ 1..) = process.recv(&mut packet).await {
        let Some((to, payload)) = packet[..n].split_at_checked(ADDRESS_BYTES) else { return };
        let Some(to) = address_of(to) else { return };
        let sent = socket.send_to(Bytes::copy_from_slice(payload), to).await;
        if sent == Err(NetworkError::ConnectionRefused) && process.send(&[IoSlice::new(&REFUSED)]).await.is_err() {
            return;
        }
    }
}

async fn inbound(socket: &dyn Datagrams, process: &Packets) {
    loop {
        match socket.recv_from().await {
            Ok((payload, from)) => {
                let sent = process.send(&[IoSlice::new(&bytes_of(from)), IoSlice::new(&payload)]).await;
                if sent.is_err() {
                    return;
                }
            }
            Err(NetworkError::ConnectionRefused) => {
                if process.send(&[IoSlice::new(&REFUSED)]).await.is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}
