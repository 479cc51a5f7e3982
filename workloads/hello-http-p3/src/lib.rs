//! Answers every request with `hello from POD_NAME`, and the path that was asked for, on WASI 0.3.

use wasip3::exports::http::handler::Guest;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_bindgen, wit_future, wit_stream};

wasip3::http::service::export!(Hello);

struct Hello;

impl Guest for Hello {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let pod = std::env::var("POD_NAME").unwrap_or_else(|_| "nowhere".into());
        let path = request.get_path_with_query().unwrap_or_else(|| "/".into());
        let text = format!("hello from {pod} {path}\n");
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
