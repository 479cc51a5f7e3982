//! Answers every request with `hello from POD_NAME`, and the path that was asked for, on WASI 0.3. `/count` tells how many
//! requests this instance has seen, `/echo` answers with the request's body and trailers as they come, `/panic` fails.

use std::sync::atomic::{AtomicU32, Ordering};

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_bindgen, wit_future, wit_stream};

wasip3::http::service::export!(Hello);

struct Hello;

static N_REQUESTS: AtomicU32 = AtomicU32::new(0);

impl Guest for Hello {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let pod = std::env::var("POD_NAME").unwrap_or_else(|_| "nowhere".into());
        let path = request.get_path_with_query().unwrap_or_else(|| "/".into());
        let n = N_REQUESTS.fetch_add(1, Ordering::Relaxed) + 1;
        let text = match path.as_str() {
            "/count" => format!("{n}\n"),
            "/echo" => return Ok(echo(request)),
            "/panic" => panic!("told to"),
            _ => format!("hello from {pod} {path}\n"),
        };
        let (mut body, body_reader) = wit_stream::new();
        let (_, trailers) = wit_future::new(|| Ok(None));
        let (response, _sent) = Response::new(Fields::new(), Some(body_reader), trailers);
        wit_bindgen::spawn_local(async move {
            // The client may have gone, which is no concern of ours.
            let _ = body.write_all(text.into_bytes()).await;
        });
        Ok(response)
    }
}

fn echo(request: Request) -> Response {
    let announced = request.get_headers().get("trailer");
    let (_, read) = wit_future::new(|| Ok(()));
    let (body, trailers) = Request::consume_body(request, read);
    let headers = Fields::new();
    if !announced.is_empty() {
        headers.set("trailer", &announced).expect("the header is well formed");
    }
    Response::new(headers, Some(body), trailers).0
}
