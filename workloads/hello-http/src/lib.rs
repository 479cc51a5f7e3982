//! Answers every request with `hello from POD_NAME`, and the path that was asked for. With `LOG` in its environment, it writes
//! a line for each.

use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

wasip2::http::proxy::export!(Hello);

struct Hello;

impl Guest for Hello {
    fn handle(request: IncomingRequest, answer: ResponseOutparam) {
        let pod = std::env::var("POD_NAME").unwrap_or_else(|_| "nowhere".into());
        let path = request.path_with_query().unwrap_or_else(|| "/".into());
        let text = format!("hello from {pod} {path}\n");
        if std::env::var_os("LOG").is_some() {
            println!("answered {path}");
        }
        let headers = Fields::new();
        headers.set("content-type", &[b"text/plain; charset=utf-8".to_vec()]).expect("the header is well formed");
        let response = OutgoingResponse::new(headers);
        let body = response.body().expect("it is taken once");
        ResponseOutparam::set(answer, Ok(response));
        let stream = body.write().expect("it is taken once");
        // The client may have gone, which is no concern of ours.
        let _ = stream.blocking_write_and_flush(text.as_bytes());
        drop(stream);
        let _ = OutgoingBody::finish(body, None);
    }
}
