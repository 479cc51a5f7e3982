//! Listens on the port given as its argument, or in `PORT`, or on 7; and sends back what it receives.

use std::io::{ErrorKind, Read, Result, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsRawFd;

/// What is held for a client that does not read.
const PENDING_MAX: usize = 64 << 10;

struct Client {
    stream: TcpStream,
    pending: Vec<u8>,
    has_ended: bool,
}

fn main() -> Result<()> {
    let port = std::env::args().nth(1).or_else(|| std::env::var("PORT").ok()).unwrap_or_else(|| "7".into());
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    listener.set_nonblocking(true)?;
    println!("listening on {}", listener.local_addr()?);
    let mut clients: Vec<Client> = Vec::new();
    loop {
        let ready = wait(&listener, &clients)?;
        if ready[0] {
            match listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(true)?;
                    clients.push(Client { stream, pending: Vec::new(), has_ended: false });
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => {
                    println!("no longer listening: {error}");
                    return Ok(());
                }
            }
        }
        // Those that were just accepted have no answer yet.
        let mut ready = ready[1..].iter().copied().chain(std::iter::repeat(false));
        clients.retain_mut(|client| !ready.next().unwrap_or(false) || client.echo());
    }
}

/// Which of the listener and the clients can go on.
fn wait(listener: &TcpListener, clients: &[Client]) -> Result<Vec<bool>> {
    let mut polled = vec![libc::pollfd { fd: listener.as_raw_fd(), events: libc::POLLIN, revents: 0 }];
    polled.extend(clients.iter().map(|client| libc::pollfd {
        fd: client.stream.as_raw_fd(),
        events: if client.pending.is_empty() { libc::POLLIN } else { libc::POLLOUT },
        revents: 0,
    }));
    let n_polled = polled.len() as libc::nfds_t;
    // SAFETY: the pointer and the length are those of one live vector.
    if unsafe { libc::poll(polled.as_mut_ptr(), n_polled, -1) } < 0 {
        return Err(std::io::Error::last_os_error());
    }
    Ok(polled.iter().map(|one| one.revents != 0).collect())
}

impl Client {
    /// Receives or sends once. False when the client is done.
    fn echo(&mut self) -> bool {
        if self.pending.is_empty() {
            self.pending.resize(PENDING_MAX, 0);
            match self.stream.read(&mut self.pending) {
                Ok(n) => {
                    self.pending.truncate(n);
                    self.has_ended = n == 0;
                }
                Err(error) => {
                    self.pending.clear();
                    self.has_ended = error.kind() != ErrorKind::WouldBlock;
                }
            }
        }
        while !self.pending.is_empty() {
            match self.stream.write(&self.pending) {
                Ok(n) => drop(self.pending.drain(..n)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        !self.has_ended
    }
}
