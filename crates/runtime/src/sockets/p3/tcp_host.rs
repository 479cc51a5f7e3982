//! `wasi:sockets/types.tcp-socket` of 0.3, function by function. What each does is in [`super::tcp`].

use std::iter;
use std::task::ready;

use wasmtime::Result;
use wasmtime::component::{Access, Accessor, FutureReader, Resource, StreamReader};

use super::bindings::wasi::sockets::types::{
    Duration, ErrorCode, HostTcpSocket, HostTcpSocketWithStore, IpAddressFamily, IpSocketAddress,
};
use super::streams::{Accepted, End};
use super::tcp::TcpSocket;
use crate::sockets::address::Family;
use crate::sockets::options;
use crate::sockets::{Counted, SocketError, SocketResult, Sockets, View};

impl View<'_> {
    fn tcp_3(&mut self, this: &Resource<TcpSocket>) -> SocketResult<&mut TcpSocket> {
        Ok(self.table.get_mut(this)?)
    }
}

/// The future of what failed at once.
async fn failed(code: ErrorCode) -> Result<End> {
    Ok(Err(code))
}

impl<T: Send + 'static> HostTcpSocketWithStore<T> for Sockets {
    async fn connect(
        store: &Accessor<T, Self>,
        this: Resource<TcpSocket>,
        remote: IpSocketAddress,
    ) -> SocketResult<()> {
        store.with(|mut store| -> SocketResult<()> { Ok(store.get().tcp_3(&this)?.inner.start_connect(remote)?) })?;
        std::future::poll_fn(|cx| {
            store.with(|mut store| {
                let connected = ready!(store.get().tcp_3(&this)?.poll_connected(cx));
                std::task::Poll::Ready(connected.map_err(SocketError::from))
            })
        })
        .await
    }

    fn listen(
        mut store: Access<'_, T, Self>,
        this: Resource<TcpSocket>,
    ) -> SocketResult<StreamReader<Resource<TcpSocket>>> {
        let view = store.getter();
        let accepting = store.get().tcp_3(&this)?.listen()?;
        StreamReader::new(&mut store, Accepted::new(accepting, view)).map_err(SocketError::Trap)
    }

    fn send(
        mut store: Access<'_, T, Self>,
        this: Resource<TcpSocket>,
        mut data: StreamReader<u8>,
    ) -> Result<FutureReader<End>> {
        let sending = store.get().table.get_mut(&this)?.send();
        match sending {
            Ok((mut sent, conn)) => {
                let ended = sent.ended();
                data.pipe(&mut store, sent)?;
                FutureReader::new(&mut store, async move {
                    // It closes when the guest does, or when nothing more can be sent.
                    let _ = ended.await;
                    wasmtime::error::Ok(conn.sent().await.map_err(ErrorCode::from))
                })
            }
            Err(code) => {
                data.close(&mut store)?;
                FutureReader::new(&mut store, failed(code.into()))
            }
        }
    }

    fn receive(
        mut store: Access<'_, T, Self>,
        this: Resource<TcpSocket>,
    ) -> Result<(StreamReader<u8>, FutureReader<End>)> {
        let receiving = store.get().table.get_mut(&this)?.receive();
        match receiving {
            Ok(mut received) => {
                let ended = received.ended();
                Ok((StreamReader::new(&mut store, received)?, FutureReader::new(&mut store, ended)?))
            }
            Err(code) => {
                Ok((StreamReader::new(&mut store, iter::empty())?, FutureReader::new(&mut store, failed(code.into()))?))
            }
        }
    }
}

impl HostTcpSocket for View<'_> {
    fn create(&mut self, family: IpAddressFamily) -> SocketResult<Resource<TcpSocket>> {
        let socket = TcpSocket::new(Counted::new(self.sandbox)?, Family::from(family));
        Ok(self.table.push(socket)?)
    }

    fn bind(&mut self, this: Resource<TcpSocket>, local: IpSocketAddress) -> SocketResult<()> {
        Ok(self.tcp_3(&this)?.bind(local.into())?)
    }

    fn get_local_address(&mut self, this: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        Ok(self.tcp_3(&this)?.inner.local_address()?.into())
    }

    fn get_remote_address(&mut self, this: Resource<TcpSocket>) -> SocketResult<IpSocketAddress> {
        Ok(self.tcp_3(&this)?.inner.remote_address()?.into())
    }

    fn get_is_listening(&mut self, this: Resource<TcpSocket>) -> Result<bool> {
        Ok(self.table.get(&this)?.inner.is_listening())
    }

    fn get_address_family(&mut self, this: Resource<TcpSocket>) -> Result<IpAddressFamily> {
        Ok(self.table.get(&this)?.inner.family().into())
    }

    fn set_listen_backlog_size(&mut self, this: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        Ok(self.tcp_3(&this)?.inner.set_listen_backlog_size(value)?)
    }

    fn get_keep_alive_enabled(&mut self, this: Resource<TcpSocket>) -> SocketResult<bool> {
        Ok(self.tcp_3(&this)?.inner.options()?.keep_alive)
    }

    fn set_keep_alive_enabled(&mut self, this: Resource<TcpSocket>, value: bool) -> SocketResult<()> {
        self.tcp_3(&this)?.inner.options()?.keep_alive = value;
        Ok(())
    }

    fn get_keep_alive_idle_time(&mut self, this: Resource<TcpSocket>) -> SocketResult<Duration> {
        Ok(self.tcp_3(&this)?.inner.options()?.keep_alive_idle_ns)
    }

    fn set_keep_alive_idle_time(&mut self, this: Resource<TcpSocket>, value: Duration) -> SocketResult<()> {
        self.tcp_3(&this)?.inner.options()?.keep_alive_idle_ns = options::keep_alive_time(value)?;
        Ok(())
    }

    fn get_keep_alive_interval(&mut self, this: Resource<TcpSocket>) -> SocketResult<Duration> {
        Ok(self.tcp_3(&this)?.inner.options()?.keep_alive_interval_ns)
    }

    fn set_keep_alive_interval(&mut self, this: Resource<TcpSocket>, value: Duration) -> SocketResult<()> {
        self.tcp_3(&this)?.inner.options()?.keep_alive_interval_ns = options::keep_alive_time(value)?;
        Ok(())
    }

    fn get_keep_alive_count(&mut self, this: Resource<TcpSocket>) -> SocketResult<u32> {
        Ok(self.tcp_3(&this)?.inner.options()?.keep_alive_count)
    }

    fn set_keep_alive_count(&mut self, this: Resource<TcpSocket>, value: u32) -> SocketResult<()> {
        self.tcp_3(&this)?.inner.options()?.keep_alive_count = options::keep_alive_count(value)?;
        Ok(())
    }

    fn get_hop_limit(&mut self, this: Resource<TcpSocket>) -> SocketResult<u8> {
        Ok(self.tcp_3(&this)?.inner.options()?.hop_limit)
    }

    fn set_hop_limit(&mut self, this: Resource<TcpSocket>, value: u8) -> SocketResult<()> {
        self.tcp_3(&this)?.inner.options()?.hop_limit = options::positive(value)?;
        Ok(())
    }

    fn get_receive_buffer_size(&mut self, this: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(self.tcp_3(&this)?.inner.options()?.receive_buffer)
    }

    fn set_receive_buffer_size(&mut self, this: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        self.tcp_3(&this)?.inner.options()?.receive_buffer = options::buffer_size(value)?;
        Ok(())
    }

    fn get_send_buffer_size(&mut self, this: Resource<TcpSocket>) -> SocketResult<u64> {
        Ok(self.tcp_3(&this)?.inner.options()?.send_buffer)
    }

    fn set_send_buffer_size(&mut self, this: Resource<TcpSocket>, value: u64) -> SocketResult<()> {
        self.tcp_3(&this)?.inner.options()?.send_buffer = options::buffer_size(value)?;
        Ok(())
    }

    fn drop(&mut self, this: Resource<TcpSocket>) -> Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}
