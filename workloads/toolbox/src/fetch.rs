//! Asks a server over `wasi:http`, which knows nothing of sockets. The host does TLS.

use std::io::{Error, Read, Result, Write, stdout};

use wasip2::http::outgoing_handler;
use wasip2::http::types::{Fields, IncomingBody, IncomingResponse, OutgoingRequest, Scheme};

/// Prints the status and the body of what `url` answers.
pub(crate) fn fetch(url: &str, token: Option<&str>) -> Result<()> {
    let response = ask(url, token)?;
    println!("status {}", response.status());
    let body = response.consume().expect("it is taken once");
    let mut text = Vec::new();
    body.stream().expect("it is taken once").read_to_end(&mut text)?;
    drop(IncomingBody::finish(body));
    stdout().write_all(&text)
}

fn ask(url: &str, token: Option<&str>) -> Result<IncomingResponse> {
    let (scheme, rest) = url.split_once("://").ok_or_else(|| Error::other("the URL names no scheme"))?;
    let scheme = if scheme == "https" { Scheme::Https } else { Scheme::Http };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let headers = Fields::new();
    if let Some(token) = token {
        let bearer = format!("Bearer {token}").into_bytes();
        headers.set("authorization", &[bearer]).expect("the header is well formed");
    }
    let request = OutgoingRequest::new(headers);
    request.set_scheme(Some(&scheme)).expect("the scheme is well formed");
    request.set_authority(Some(authority)).map_err(|()| Error::other("the URL's host is malformed"))?;
    request.set_path_with_query(Some(path)).map_err(|()| Error::other("the URL's path is malformed"))?;
    let response = outgoing_handler::handle(request, None).map_err(|error| Error::other(format!("{error:?}")))?;
    response.subscribe().block();
    let response = response.get().expect("it is ready").expect("it is taken once");
    response.map_err(|error| Error::other(format!("{error:?}")))
}
