//! `wasi:sockets/ip-name-lookup`: the names that the container's network knows.

use std::future::Future;
use std::net::{IpAddr, Ipv6Addr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use url::Host as UrlHost;
use wasmtime::Result;
use wasmtime::component::Resource;
use wasmtime_wasi::async_trait;
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};

use super::bindings::wasi::sockets::ip_name_lookup::{Host, HostResolveAddressStream};
use super::bindings::wasi::sockets::network::{ErrorCode, IpAddress};
use super::{NetworkHandle, SocketResult, View};
use crate::network::NetworkError;

type Resolving = Pin<Box<dyn Future<Output = std::result::Result<Vec<IpAddr>, NetworkError>> + Send>>;

/// The answers to one question.
#[expect(unreachable_pub, reason = "the generated bindings re-export it")]
pub enum Lookup {
    Waiting(Resolving),
    Answered(std::vec::IntoIter<IpAddr>),
    Failed(ErrorCode),
}

/// What a guest asks for.
pub(super) enum Question {
    Address(IpAddr),
    Name(String),
}

/// Reads a name as the specification wants it: addresses answer themselves, and other scripts become ASCII.
pub(super) fn question(name: &str) -> std::result::Result<Question, ErrorCode> {
    match UrlHost::parse(name) {
        Ok(UrlHost::Domain(name)) => Ok(Question::Name(name)),
        Ok(UrlHost::Ipv4(ip)) => Ok(Question::Address(ip.into())),
        Ok(UrlHost::Ipv6(ip)) => Ok(Question::Address(ip.into())),
        // In a URL an IPv6 address would have brackets.
        Err(_) => match name.parse::<Ipv6Addr>() {
            Ok(ip) => Ok(Question::Address(ip.into())),
            Err(_) => Err(ErrorCode::InvalidArgument),
        },
    }
}

impl Lookup {
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Self::Waiting(resolving) = self {
            *self = match ready!(resolving.as_mut().poll(cx)) {
                Ok(addresses) => Self::Answered(addresses.into_iter()),
                Err(error) => Self::Failed(error.into()),
            };
        }
        Poll::Ready(())
    }
}

impl Host for View<'_> {
    fn resolve_addresses(&mut self, network: Resource<NetworkHandle>, name: String) -> SocketResult<Resource<Lookup>> {
        self.table.get(&network)?;
        let lookup = match question(&name)? {
            Question::Address(ip) => Lookup::Answered(vec![ip].into_iter()),
            Question::Name(name) => {
                let network = Arc::clone(&self.sandbox.spec.network);
                Lookup::Waiting(Box::pin(async move { network.resolve(&name).await }))
            }
        };
        Ok(self.table.push(lookup)?)
    }
}

impl HostResolveAddressStream for View<'_> {
    fn resolve_next_address(&mut self, this: Resource<Lookup>) -> SocketResult<Option<IpAddress>> {
        let lookup = self.table.get_mut(&this)?;
        let _ = lookup.poll_answer(&mut Context::from_waker(Waker::noop()));
        match lookup {
            Lookup::Waiting(_) => Err(ErrorCode::WouldBlock.into()),
            Lookup::Answered(addresses) => Ok(addresses.next().map(|ip| ip.to_canonical().into())),
            Lookup::Failed(code) => Err((*code).into()),
        }
    }

    fn subscribe(&mut self, this: Resource<Lookup>) -> Result<Resource<DynPollable>> {
        subscribe(self.table, this)
    }

    fn drop(&mut self, this: Resource<Lookup>) -> Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

#[async_trait]
impl Pollable for Lookup {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_answer(cx)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn asks(name: &str, expected: &str) {
        let asked = match question(name) {
            Ok(Question::Address(ip)) => format!("address {ip}"),
            Ok(Question::Name(name)) => format!("name {name}"),
            Err(error) => error.name().to_owned(),
        };
        assert_eq!(asked, expected, "{name}");
    }

    #[test]
    fn a_question_is_a_name_or_answers_itself() {
        asks("web.default.svc", "name web.default.svc");
        asks("_http._tcp.web", "name _http._tcp.web");
        asks("10.0.0.1", "address 10.0.0.1");
        asks("::1", "address ::1");
        asks("bücher.example", "name xn--bcher-kva.example");
        asks("", "invalid-argument");
        asks("a b", "invalid-argument");
        asks("host:80", "invalid-argument");
    }
}
