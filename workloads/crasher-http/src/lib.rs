//! Fails requests in the way that their path names: `/panic`, `/exit`, `/spin`, `/sleep`, `/memory`, `/nothing`, and in the
//! middle of an answer `/half` and `/stall`. `/count` tells how many requests this instance has seen, `/keep` holds another
//! MiB from then on, `/late` works on after its answer, `/drip` answers for ever, `/stream` answers with the request's body
//! and trailers as they come, `/fetch/HOST/PATH` asks another server, and everything else is answered with the body.

use std::io::Read as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::outgoing_handler;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingBody, IncomingRequest, IncomingResponse, OutgoingBody, OutgoingRequest,
    OutgoingResponse, ResponseOutparam, Scheme,
};
use wasip2::io::streams::OutputStream;

wasip2::http::proxy::export!(Crasher);

struct Crasher;

static N_REQUESTS: AtomicU32 = AtomicU32::new(0);
static KEPT: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

impl Guest for Crasher {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let n = N_REQUESTS.fetch_add(1, Ordering::Relaxed) + 1;
        let path = request.path_with_query().unwrap_or_default();
        match path.as_str() {
            "/panic" => panic!("told to"),
            "/exit" => std::process::exit(1),
            "/spin" => loop {
                std::hint::spin_loop();
            },
            "/sleep" => std::thread::sleep(Duration::from_secs(3600)),
            "/memory" => take_memory(),
            "/nothing" => {}
            "/half" => {
                let _written = begin(answer, "");
                panic!("in the middle");
            }
            "/stall" => {
                let _written = begin(answer, "");
                std::thread::sleep(Duration::from_secs(3600));
            }
            "/drip" => drip(answer),
            "/keep" => {
                KEPT.lock().expect("nobody panicked").push(vec![1; 1 << 20]);
                respond(answer, b"kept\n");
            }
            "/stream" => stream(answer, &request),
            "/count" => respond(answer, format!("{n}\n").as_bytes()),
            "/late" => {
                respond(answer, b"early\n");
                std::thread::sleep(Duration::from_millis(20));
                println!("late work is done");
            }
            _ => match path.strip_prefix("/fetch/") {
                Some(target) => fetch(answer, target),
                None => respond(answer, &body_of(&request)),
            },
        }
    }
}

/// The beginning of an answer, with more to come.
fn begin(answer: ResponseOutparam, trailer: &str) -> (OutgoingBody, OutputStream) {
    let headers = Fields::new();
    if !trailer.is_empty() {
        headers.set("trailer", &[trailer.as_bytes().to_vec()]).expect("the header is well formed");
    }
    let response = OutgoingResponse::new(headers);
    let body = response.body().expect("it is taken once");
    ResponseOutparam::set(answer, Ok(response));
    let stream = body.write().expect("it is taken once");
    let _ = stream.blocking_write_and_flush(b"begun\n");
    (body, stream)
}

fn drip(answer: ResponseOutparam) {
    let (_body, stream) = begin(answer, "");
    while stream.blocking_write_and_flush(&[b'.'; 4096]).is_ok() {}
    println!("the client has gone");
}

fn stream(answer: ResponseOutparam, request: &IncomingRequest) {
    let announced = request.headers().get("trailer").into_iter().next().unwrap_or_default();
    let (written, output) = begin(answer, &String::from_utf8_lossy(&announced));
    let body = request.consume().expect("it is taken once");
    let input = body.stream().expect("it is taken once");
    while let Ok(bytes) = input.blocking_read(4096) {
        if output.blocking_write_and_flush(&bytes).is_err() {
            return;
        }
    }
    drop((input, output));
    let trailers = IncomingBody::finish(body);
    trailers.subscribe().block();
    let trailers = trailers.get().expect("it is ready").expect("it is taken once").expect("the body has arrived");
    let trailers = trailers.map(|trailers| Fields::from_list(&trailers.entries()).expect("they are well formed"));
    let _ = OutgoingBody::finish(written, trailers);
}

fn take_memory() {
    let mut held = Vec::new();
    loop {
        held.push(vec![1u8; 1 << 20]);
        std::hint::black_box(&held);
    }
}

fn body_of(request: &IncomingRequest) -> Vec<u8> {
    read(request.consume().expect("it is taken once"))
}

fn read(body: IncomingBody) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut stream = body.stream().expect("it is taken once");
    stream.read_to_end(&mut bytes).expect("the body arrives");
    bytes
}

fn respond(answer: ResponseOutparam, mut bytes: &[u8]) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("it is taken once");
    ResponseOutparam::set(answer, Ok(response));
    let stream = body.write().expect("it is taken once");
    while !bytes.is_empty() {
        let (chunk, rest) = bytes.split_at(bytes.len().min(4096));
        if stream.blocking_write_and_flush(chunk).is_err() {
            return;
        }
        bytes = rest;
    }
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

fn fetch(answer: ResponseOutparam, target: &str) {
    match get(target) {
        Ok(response) => {
            let body = read(response.consume().expect("it is taken once"));
            respond(answer, &body);
        }
        Err(error) => respond(answer, format!("{error:?}\n").as_bytes()),
    }
}

fn get(target: &str) -> Result<IncomingResponse, ErrorCode> {
    let (authority, path) = target.split_once('/').unwrap_or((target, ""));
    let (scheme, authority) = match authority.strip_prefix("https:") {
        Some(authority) => (Scheme::Https, authority),
        None => (Scheme::Http, authority),
    };
    let request = OutgoingRequest::new(Fields::new());
    request.set_scheme(Some(&scheme)).expect("the scheme is well formed");
    request.set_authority(Some(authority)).expect("the authority is well formed");
    request.set_path_with_query(Some(&format!("/{path}"))).expect("the path is well formed");
    let response = outgoing_handler::handle(request, None)?;
    response.subscribe().block();
    response.get().expect("it is ready").expect("it is taken once")
}
