use proptest::prelude::*;

use super::frame::client;
use super::*;

/// What kubectl 1.37 sends first: the opening of an error stream, in its pieces.
const FROM_KUBECTL: &[u8] = &[
    0x78, 0xf9, 0xe3, 0xc6, 0xa7, 0xc2, 0x02, 0x25, 0x3a, 0x70, 0x3a, 0x2b, 0x29, 0x4a, 0x4d, 0xcc, 0x85, 0x16, 0x25,
    0xac, 0xa9, 0xa0, 0x80, 0x86, 0x14, 0xcb, 0x45, 0xa0, 0x24, 0xcc, 0x64, 0x61, 0xc0, 0xc0, 0xc0, 0xc0, 0x59, 0x04,
    0x89, 0xc4, 0x4c, 0x50, 0xe2, 0x66, 0x34, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff,
];

fn decode(pieces: &[Bytes]) -> Result<Vec<Event>, Error> {
    let mut decoder = Decoder::new();
    let mut events = Vec::new();
    for piece in pieces {
        decoder.receive(piece.clone(), &mut events)?;
    }
    Ok(events)
}

fn opening(stream: u32, pairs: &[(&str, &str)], is_first: bool) -> Bytes {
    client::syn_stream(stream, false, &headers::stored(pairs, is_first))
}

#[test]
fn kubectls_own_bytes_are_understood() {
    let mut inflater = Inflater::new();
    let headers = headers::read(&inflater.inflate(FROM_KUBECTL).unwrap()).unwrap();
    assert_eq!(headers.get("streamtype"), Some("error"));
    assert_eq!(headers.get("requestid"), Some("0"));
    assert!(headers.get("port").is_some(), "{headers:?}");
}

#[test]
fn a_stream_is_opened_written_to_and_half_closed() {
    let frames = [opening(1, &[("Port", "80")], true), data(1, b"hello", false), data(1, b"", true), ping_of(7)];
    let headers = Headers(vec![("port".into(), "80".into())]);
    assert_eq!(
        decode(&frames).unwrap(),
        [
            Event::Opened { stream: 1, headers },
            Event::Data { stream: 1, bytes: "hello".into() },
            Event::Finished { stream: 1 },
            Event::Ping { id: 7 },
        ]
    );
}

fn ping_of(id: u32) -> Bytes {
    client::other(6, &id.to_be_bytes())
}

#[test]
fn every_reply_ends_with_a_flush() {
    let mut replies = Replies::default();
    for stream in [1, 3] {
        assert!(replies.accept(stream).ends_with(&[0, 0, 0, 0xff, 0xff]), "reply to {stream}");
    }
}

#[test]
fn what_comes_for_a_stream_that_is_not_open_is_dropped() {
    let frames = [data(9, b"lost", true), reset(9, 5), ping_of(2)];
    assert_eq!(decode(&frames).unwrap(), []);
}

#[test]
fn a_client_that_cannot_be_understood_is_refused() {
    let long = [0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff];
    let old = [0x80, 2, 0, 1, 0, 0, 0, 0];
    let short = client::other(3, &[0; 3]);
    let even = opening(2, &[], true);
    for (bytes, error) in [
        (Bytes::copy_from_slice(&long), Error::ControlTooLong(0xff_ffff)),
        (Bytes::copy_from_slice(&old), Error::Version(2)),
        (short, Error::Short(3)),
        (even, Error::Order(2)),
        (client::syn_stream(1, false, b"plain"), Error::Headers("it is not compressed")),
    ] {
        assert_eq!(decode(&[bytes]).unwrap_err(), error);
    }
}

#[test]
fn there_are_only_so_many_streams() {
    let mut frames = vec![opening(1, &[], true)];
    frames.extend((1..=STREAMS_MAX).map(|n| opening(u32::try_from(2 * n + 1).unwrap(), &[], false)));
    let events = decode(&frames).unwrap();
    assert!(matches!(events.last(), Some(Event::Refused { .. })));
    assert_eq!(events.len(), STREAMS_MAX + 1);
}

/// Data may be told of in smaller pieces than it was sent in.
fn joined(events: Vec<Event>) -> Vec<Event> {
    let mut out: Vec<Event> = Vec::new();
    for event in events {
        match (out.last_mut(), event) {
            (Some(Event::Data { stream, bytes }), Event::Data { stream: next, bytes: more }) if *stream == next => {
                *bytes = [&bytes[..], &more[..]].concat().into();
            }
            (_, event) => out.push(event),
        }
    }
    out
}

fn cut(bytes: &Bytes, at: &[usize]) -> Vec<Bytes> {
    let mut at: Vec<usize> = at.iter().map(|at| at % (bytes.len() + 1)).collect();
    at.sort_unstable();
    let starts = std::iter::once(0).chain(at.clone());
    starts.zip(at.iter().copied().chain([bytes.len()])).map(|(from, to)| bytes.slice(from..to)).collect()
}

proptest! {
    #[test]
    fn frames_mean_the_same_however_they_are_cut(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 1..8),
        at in prop::collection::vec(any::<usize>(), 0..20),
    ) {
        let mut all = BytesMut::new();
        for (n, payload) in payloads.iter().enumerate() {
            let stream = u32::try_from(2 * n + 1).unwrap();
            all.extend_from_slice(&opening(stream, &[("streamType", "data"), ("port", "8080")], n == 0));
            all.extend_from_slice(&data(stream, payload, n % 2 == 0));
            all.extend_from_slice(&reset(stream, 5));
        }
        let all = all.freeze();
        let whole = decode(std::slice::from_ref(&all)).unwrap();
        let pieces = decode(&cut(&all, &at)).unwrap();
        prop_assert_eq!(joined(pieces), joined(whole));
    }

    #[test]
    fn no_bytes_make_it_panic_or_keep_much(
        frames in prop::collection::vec((any::<u16>(), prop::collection::vec(any::<u8>(), 0..64)), 0..8),
        noise in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut decoder = Decoder::new();
        let mut events = Vec::new();
        let known = frames.iter().map(|(kind, payload)| client::other(kind % 12, payload));
        for piece in known.chain([Bytes::from(noise)]) {
            if decoder.receive(piece, &mut events).is_err() {
                break;
            }
            prop_assert!(decoder.partial.len() <= HEADER_BYTES + CONTROL_BYTES_MAX);
        }
    }

    #[test]
    fn no_header_block_makes_it_panic(blocks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..80), 1..5)) {
        let mut inflater = Inflater::new();
        let first = [&FROM_KUBECTL[..6], &blocks[0]].concat();
        for block in std::iter::once(&first).chain(&blocks[1..]) {
            match inflater.inflate(block) {
                Ok(block) => drop(headers::read(&block)),
                Err(_) => break,
            }
        }
    }
}
