//! Prints a greeting on WASI 0.3, and fails when `FAIL` is set.

use wasip3::cli::{environment, stdout};
use wasip3::exports::cli::run::Guest;
use wasip3::wit_stream;

wasip3::cli::command::export!(Hello);

struct Hello;

impl Guest for Hello {
    async fn run() -> Result<(), ()> {
        let (mut text, reader) = wit_stream::new();
        let write = async {
            let _ = text.write_all(b"hello from WASI 0.3\n".to_vec()).await;
            drop(text);
        };
        let (written, ()) = futures::join!(async { stdout::write_via_stream(reader).await }, write);
        let is_to_fail = environment::get_environment().iter().any(|(name, _)| name == "FAIL");
        if is_to_fail || written.is_err() { Err(()) } else { Ok(()) }
    }
}
