//! Pipes as blocking readers and writers, for the threads that built-in commands run on.

use std::io::{self, Read, Write};
use std::sync::Arc;

use bytes::Bytes;
use coracle_runtime::Pipe;
use futures::executor::block_on;

/// What the client sends; nothing when it sends nothing.
pub(super) struct Reader(Option<Arc<Pipe>>);

impl Reader {
    pub(super) fn of(pipe: Option<Arc<Pipe>>) -> Self {
        Self(pipe)
    }
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let Some(pipe) = &self.0 else { return Ok(0) };
        let bytes = block_on(pipe.read(out.len())).unwrap_or_default();
        out[..bytes.len()].copy_from_slice(&bytes);
        Ok(bytes.len())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(pipe) = &self.0 {
            pipe.hang_up();
        }
    }
}

/// What the client gets.
pub(super) struct Writer<'a>(pub(super) &'a Pipe);

impl Write for Writer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = block_on(self.0.write(Bytes::copy_from_slice(bytes)));
        written.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
