//! Requests that end too early, at every boundary: with the client's word that no more will come, and in silence.

use std::collections::BTreeSet;

use super::{Case, End, TARGET, broken, case, refused};

/// What a byte is to a reader; a boundary is where two kinds meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Cr,
    Lf,
    Space,
    Separator,
    Text,
}

fn kind(byte: u8) -> Kind {
    match byte {
        b'\r' => Kind::Cr,
        b'\n' => Kind::Lf,
        b' ' => Kind::Space,
        b':' | b';' | b'=' | b'/' => Kind::Separator,
        _ => Kind::Text,
    }
}

/// Where a text can be cut, the place before its last byte included.
pub(in crate::conformance) fn boundaries(text: &str) -> BTreeSet<usize> {
    let met = text.as_bytes().windows(2).enumerate().filter(|(_, two)| kind(two[0]) != kind(two[1]));
    met.map(|(at, _)| at + 1).chain([text.len() - 1]).collect()
}

pub(super) fn cases() -> Vec<Case> {
    let head = |framing: &str| {
        format!("POST {TARGET} HTTP/1.1\r\nHost: localhost\r\nX-Flexslot-Tenant: acme\r\n{framing}\r\n\r\n")
    };
    let (chunked, length) = (head("Transfer-Encoding: chunked"), head("Content-Length: 3"));
    let texts = [
        ("chunks", format!("{chunked}3;x=1\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"), chunked.len(), 0),
        // What the head of the other has not shown.
        ("a length", format!("{length}abc"), length.len(), length.len() - 8),
    ];
    let mut cases = Vec::new();
    for (name, text, head, from) in texts {
        for at in boundaries(&text).into_iter().filter(|&at| at >= from) {
            for (end, status) in [(End::HangUp, 400), (End::Silence, 408)] {
                let fate = if at < head { refused(status) } else { broken(status) };
                let name = format!("{name}, cut at {at}, {end:?}");
                cases.push(case("cuts", name, &text[..at], fate).ends(end));
            }
        }
    }
    cases
}
