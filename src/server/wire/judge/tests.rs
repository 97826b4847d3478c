use super::{Judge, Progress};
use proptest::prelude::*;

const HEADER_SIZE: usize = 200;

#[derive(Debug, Clone, PartialEq)]
enum Event {
    Head(Vec<u8>),
    Body(Vec<u8>),
    Refused(super::Refusal),
    Fault,
}

/// Feeds `parts` one after the other and says what came of them. Adjacent pieces of a body are one.
fn judge<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<Event> {
    let mut judge = Judge::new(HEADER_SIZE);
    let mut events = Vec::new();
    let mut buffer: Vec<u8> = Vec::new();
    for part in parts {
        buffer.extend_from_slice(part);
        loop {
            if judge.is_fault() {
                events.push(Event::Fault);
                return events;
            }
            if !judge.in_head() {
                let length = judge.body(&buffer);
                let taken: Vec<u8> = buffer.drain(..length).collect();
                match events.last_mut() {
                    Some(Event::Body(body)) => body.extend(taken),
                    _ => events.push(Event::Body(taken)),
                }
                if buffer.is_empty() {
                    break;
                }
                continue;
            }
            match judge.head(&buffer) {
                Progress::More => break,
                Progress::Head { start, end, .. } => {
                    events.push(Event::Head(buffer[start..end].to_vec()));
                    buffer.drain(..end);
                    if !judge.in_head() {
                        events.push(Event::Body(Vec::new()));
                    }
                }
                Progress::Refused(refusal) => {
                    events.push(Event::Refused(refusal));
                    return events;
                }
            }
        }
    }
    events
}

/// Pipelined requests, some with something wrong in the middle.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    const PIECES: [&str; 34] = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n12345",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST /#x HTTP/1.0\r\n",
        "Content-Length: 3\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Host: b\r\n",
        "\r\n",
        "\n",
        "\r",
        " ",
        "\0",
        "0",
        "a\r\n",
        "1\r\n",
        "A: b\r\n",
        "HTTP/1.1\r\n",
        "GET ",
        "/ ",
        ":",
        ";",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "#",
        "\u{e9}",
        "0\r\n\r\n",
        "3\r\nabc\r\n",
        "PRI * HTTP/2.0\r\n\r\n",
        "\t",
        "CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\n",
        "\r\nGET / HTTP/1.0\r\n\r\n",
        "Host: a\r\n\r\n",
    ];
    let pieces =
        prop::collection::vec(prop::sample::select(&PIECES[..]), 1..8).prop_map(|pieces| pieces.concat().into_bytes());
    let damage =
        prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n')]), 0..3);
    (pieces, damage).prop_map(|(mut bytes, damage)| {
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8192, ..ProptestConfig::default() })]

    #[test]
    fn however_the_bytes_are_cut_the_judgement_is_the_same(stream in streams(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6)) {
        let whole = judge([&stream[..]]);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.index(stream.len())).chain([0, stream.len()]).collect();
        cuts.sort_unstable();
        prop_assert_eq!(&judge(cuts.windows(2).map(|ends| &stream[ends[0]..ends[1]])), &whole);
        prop_assert_eq!(&judge(stream.chunks(1)), &whole);
    }

    #[test]
    fn nothing_is_lost_or_made_up(stream in streams()) {
        let mut passed = Vec::new();
        for event in judge([&stream[..]]) {
            if let Event::Head(bytes) | Event::Body(bytes) = event {
                passed.extend(bytes);
            }
        }
        // The only bytes left out are empty lines between requests.
        let mut rest = &stream[..];
        for byte in passed {
            while rest.first() != Some(&byte) {
                prop_assert!(matches!(rest.first(), Some(b'\r' | b'\n')));
                rest = &rest[1..];
            }
            rest = &rest[1..];
        }
    }
}
