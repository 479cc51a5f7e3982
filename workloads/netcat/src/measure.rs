//! What measures a network from inside: streams of bytes, round trips, and who answers. The same program runs on a host.

use std::io::{Read, Result, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const CHUNK_BYTES: usize = 64 << 10;
/// How long one that follows a name rests between two questions.
const REST: Duration = Duration::from_millis(1);

/// Writes for so long, and prints what [`sink`] says of it.
pub fn send(to: &str, seconds: &str) -> Result<()> {
    let lasting = Duration::from_secs(seconds.parse().unwrap_or(1));
    let mut stream = TcpStream::connect(to)?;
    let (chunk, began) = (vec![b'x'; CHUNK_BYTES], Instant::now());
    while began.elapsed() < lasting {
        stream.write_all(&chunk)?;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    println!("{}", answer.trim());
    Ok(())
}

/// Reads one connection after another to its end, and answers how many bytes came in how many nanoseconds.
pub fn sink(port: &str) -> Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    each_client(port, |mut stream| {
        let mut n_bytes = stream.read(&mut chunk)?;
        let began = Instant::now();
        loop {
            match stream.read(&mut chunk)? {
                0 => break,
                n => n_bytes += n,
            }
        }
        writeln!(stream, "{n_bytes} {}", began.elapsed().as_nanos())
    })
}

/// Writes to one connection after another for as long as it is read.
pub fn source(port: &str) -> Result<()> {
    let chunk = vec![b'x'; CHUNK_BYTES];
    each_client(port, |mut stream| {
        loop {
            stream.write_all(&chunk)?;
        }
    })
}

/// Tells each client a name.
pub fn name(port: &str, name: &str) -> Result<()> {
    each_client(port, |mut stream| stream.write_all(name.as_bytes()))
}

/// Asks again and again who is there, and prints when somebody else answers, in nanoseconds since 1970.
pub fn follow(to: &str) -> Result<()> {
    let mut known = String::new();
    loop {
        let found = ask(to);
        if let Ok(found) = found
            && !found.is_empty()
            && found != known
        {
            let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            println!("{} {found}", since.as_nanos());
            known = found;
        }
        std::thread::sleep(REST);
    }
}

fn ask(to: &str) -> Result<String> {
    let mut answer = String::new();
    TcpStream::connect(to)?.read_to_string(&mut answer)?;
    Ok(answer)
}

/// Sends datagrams to one that sends them back, and prints the nanoseconds of the median round trip and of the quickest.
pub fn ping(to: &str, count: &str) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(to)?;
    let (mut times, mut datagram) = (Vec::new(), [b'x'; 64]);
    for _ in 0..count.parse().unwrap_or(1) {
        let began = Instant::now();
        socket.send(&datagram)?;
        socket.recv(&mut datagram)?;
        times.push(began.elapsed().as_nanos());
    }
    times.sort_unstable();
    println!("{} {}", times[times.len() / 2], times[0]);
    Ok(())
}

/// Serves one client after another. How one ends is no matter of the next.
fn each_client(port: &str, mut serve: impl FnMut(TcpStream) -> Result<()>) -> Result<()> {
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    println!("listening on {}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept()?;
        if let Err(error) = serve(stream) {
            println!("{:?}: {error}", error.kind());
        }
    }
}
