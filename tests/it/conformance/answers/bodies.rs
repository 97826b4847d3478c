//! Where the body of an answer ends: no body, a length, chunks, the end of the connection; faults of each, and cuts.

use super::{Asked, Case, Invalid, Next, Outcome, case, chunked, closed, cut, good, ok, passed, shown, whole};
use crate::conformance::requests::cuts::boundaries;

/// What is no length of three bytes.
const NO_LENGTHS: [&str; 22] = [
    "",
    "+3",
    "-3",
    "0x3",
    "3,4",
    "3;",
    "3.0",
    "3 3",
    "three",
    "3\x0b",
    "３",
    "18446744073709551616",
    "18446744073709551619",
    "99999999999999999999999999",
    "3\r\nContent-Length: 4",
    "4\r\nContent-Length: 3",
    "3\r\nContent-Length:",
    "3\r\nContent-Length: x",
    "3\r\n 0",
    "\"3\"",
    "3h",
    "-0",
];

/// What is no chunked coding, and what is not the only one.
const NO_CODINGS: [&str; 14] = [
    "",
    "xchunked",
    "chunkedx",
    "identity, identity",
    "chunked, gzip",
    "chunked, identity",
    "chunked;q=1",
    "\"chunked\"",
    "chunked\x0b",
    "chun\u{212a}ed",
    "chunked\r\nTransfer-Encoding: identity",
    "chunked,",
    "gzip",
    "chunked, chunked",
];

/// Bodies that break the coding behind `abc`.
const BROKEN: [&str; 24] = [
    "x\r\nabc\r\n0\r\n\r\n",
    "-3\r\nabc\r\n0\r\n\r\n",
    "+3\r\nabc\r\n0\r\n\r\n",
    "0x3\r\nabc\r\n0\r\n\r\n",
    "\r\nabc\r\n0\r\n\r\n",
    "3_\r\nabc\r\n0\r\n\r\n",
    "3\nabc\r\n0\r\n\r\n",
    "3\rabc\r\n0\r\n\r\n",
    "3\r\r\nabc\r\n0\r\n\r\n",
    "3\r\nabcd\r\n0\r\n\r\n",
    "3\r\nabc0\r\n\r\n",
    "3\r\nabc\n0\r\n\r\n",
    "3\r\nabc\r0\r\n\r\n",
    "10000000000000003\r\nabc\r\n0\r\n\r\n",
    "ffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
    "0\n\n",
    "0\r\n\n",
    "0\r\nX\r\n\r\n",
    "0\r\n X: 1\r\n\r\n",
    "0\r\nX : 1\r\n\r\n",
    "0\r\nX: \0\r\n\r\n",
    "0\r\nX: 1\r\n 2\r\n\r\n",
    "0\r\n: 1\r\n\r\n",
    "0\r\nHTTP/1.1 200 OK\r\n\r\n",
];

/// Trailers that are read; nothing of them that means anything gets through.
const TRAILERS: [&str; 10] = [
    "X-Sum: 1",
    "Content-Length: 9",
    "Transfer-Encoding: chunked",
    "Set-Cookie: a=b",
    "Content-Type: text/html",
    "Location: /x",
    "Authorization: Bearer flx_pat_of_acme_for_this_test",
    "Connection: X-Hop\r\nX-Hop: 1",
    "DPoP-Nonce: x",
    "Host: localhost",
];

pub(super) fn cases() -> Vec<Case> {
    [without(), lengths(), codings(), chunks(), cuts()].into_iter().flatten().collect()
}

/// Answers that have no body, whatever they say.
fn without() -> Vec<Case> {
    let one = |name: &str, text: &str, outcome: Outcome, next| {
        case("answers without a body", name, whole(text), outcome, next)
    };
    let head = |name: &str, text: &str, next| one(name, text, passed(200, ""), next).to(Asked::Head);
    vec![
        one("204", "HTTP/1.1 204 No Content\r\n\r\n", passed(204, ""), Next::Same),
        one(
            "204 that announces nothing",
            "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n",
            passed(204, ""),
            Next::Same,
        ),
        one(
            "204 that announces a body",
            "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n",
            passed(204, ""),
            Next::Either,
        ),
        one(
            "204 with a body",
            "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc",
            passed(204, ""),
            Next::Another,
        ),
        one(
            "204 that announces chunks",
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
            passed(204, ""),
            Next::Either,
        ),
        one(
            "204 with chunks",
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            passed(204, ""),
            Next::Another,
        ),
        one(
            "205 with a body",
            "HTTP/1.1 205 Reset Content\r\nContent-Length: 3\r\n\r\nabc",
            passed(205, "abc"),
            Next::Either,
        ),
        one("304", "HTTP/1.1 304 Not Modified\r\n\r\n", passed(304, ""), Next::Same),
        one(
            "304 with a body",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\nabc",
            passed(304, ""),
            Next::Another,
        ),
        one(
            "304 with chunks",
            "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            passed(304, ""),
            Next::Another,
        ),
        head("to HEAD, with a length", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", Next::Same),
        head("to HEAD, with nothing", "HTTP/1.1 200 OK\r\n\r\n", Next::Same),
        head("to HEAD, with a coding", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", Next::Same),
        head("to HEAD, with a body", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", Next::Another),
        head(
            "to HEAD, with chunks",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            Next::Another,
        ),
    ]
}

fn lengths() -> Vec<Case> {
    let one = |name: &str, said, outcome, next| case("lengths", name, said, outcome, next);
    let said = |value: &str| ok(&format!("Content-Length: {value}\r\n"), "abc");
    let bad = NO_LENGTHS.iter().map(|value| case("lengths", shown(value), whole(said(value)), Invalid, Next::Another));
    bad.chain([
        one("3", whole(good()), passed(200, "abc"), Next::Same),
        one("zeros before it", whole(said("0003")), passed(200, "abc"), Next::Same),
        one("spaces around it", whole(said("\t 3 \t")), passed(200, "abc"), Next::Same),
        one("0", whole(ok("Content-Length: 0\r\n", "")), passed(200, ""), Next::Same),
        one("0, and a body", whole(ok("Content-Length: 0\r\n", "abc")), passed(200, ""), Next::Another),
        one("twice, in agreement", whole(said("3\r\nContent-Length: 3")), passed(200, "abc"), Next::Same),
        one("a list in agreement", whole(said("3, 3")), Invalid, Next::Another),
        one("too small", whole(ok("Content-Length: 2\r\n", "abc")), passed(200, "ab"), Next::Another),
        one("none, to the end of the connection", closed(ok("", "abc")), passed(200, "abc"), Next::Another),
        one("none, no body, to the end of the connection", closed(ok("", "")), passed(200, ""), Next::Another),
        one("none, of HTTP/1.0", closed(ok("", "abc").replace("1.1", "1.0")), passed(200, "abc"), Next::Another),
        one("none, and another answer behind it", closed(ok("", &good())), passed(200, &good()), Next::Another),
        one("too large, and the end", closed(ok("Content-Length: 4\r\n", "abc")), cut("abc"), Next::Another),
        one(
            "the largest, and the end",
            closed(ok("Content-Length: 9223372036854775807\r\n", "abc")),
            cut("abc"),
            Next::Another,
        ),
    ])
    .collect()
}

fn codings() -> Vec<Case> {
    const CHUNKS: &str = "3\r\nabc\r\n0\r\n\r\n";
    let said = |value: &str| ok(&format!("Transfer-Encoding: {value}\r\n"), CHUNKS);
    let bad = NO_CODINGS.iter().map(|value| case("codings", shown(value), closed(said(value)), Invalid, Next::Another));
    let one = |name: &str, fields: &str, outcome, next| case("codings", name, whole(ok(fields, CHUNKS)), outcome, next);
    bad.chain([
        one("chunked", "Transfer-Encoding: chunked\r\n", passed(200, "abc"), Next::Same),
        one("CHUNKED", "TRANSFER-ENCODING: CHUNKED\r\n", passed(200, "abc"), Next::Same),
        one("a length before it", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", Invalid, Next::Another),
        one("a length behind it", "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", Invalid, Next::Another),
        one("a long length beside it", "Transfer-Encoding: chunked\r\nContent-Length: 300\r\n", Invalid, Next::Another),
        one("a bad length beside it", "Transfer-Encoding: chunked\r\nContent-Length: x\r\n", Invalid, Next::Another),
        one("a space before its colon", "Transfer-Encoding : chunked\r\nContent-Length: 3\r\n", Invalid, Next::Another),
        one("folded", "Transfer-Encoding:\r\n chunked\r\nContent-Length: 3\r\n", Invalid, Next::Another),
        case("codings", "of HTTP/1.0", whole(said("chunked").replace("1.1", "1.0")), Invalid, Next::Another),
    ])
    .collect()
}

fn chunks() -> Vec<Case> {
    let broken = BROKEN.iter().map(|body| {
        let data = if body.starts_with("3\r\nabc") { "abcabc" } else { "abc" };
        case("chunks", shown(body), whole(chunked(&format!("3\r\nabc\r\n{body}"))), cut(data), Next::Another)
    });
    let trailers = TRAILERS.iter().map(|line| {
        case(
            "trailers",
            shown(line),
            whole(chunked(&format!("3\r\nabc\r\n0\r\n{line}\r\n\r\n"))),
            passed(200, "abc"),
            Next::Same,
        )
    });
    let one = |name: &str, body: String, outcome, next| case("chunks", name, whole(chunked(&body)), outcome, next);
    broken
        .chain(trailers)
        .chain([
            one("extensions", "3;a=b\r\nabc\r\n0;c\r\n\r\n".into(), passed(200, "abc"), Next::Same),
            one("zeros before the size", "0003\r\nabc\r\n000\r\n\r\n".into(), passed(200, "abc"), Next::Same),
            one(
                "a thousand of one byte",
                format!("{}0\r\n\r\n", "1\r\na\r\n".repeat(1000)),
                passed(200, &"a".repeat(1000)),
                Next::Same,
            ),
            one(
                "an extension of 70 KB",
                format!("3\r\nabc\r\n3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(70_000)),
                cut("abc"),
                Next::Another,
            ),
            one(
                "trailers of 70 KB",
                format!("3\r\nabc\r\n0\r\nX: {}\r\n\r\n", "a".repeat(70_000)),
                cut("abc"),
                Next::Another,
            ),
            one(
                "a thousand trailers",
                format!("3\r\nabc\r\n0\r\n{}\r\n", "X: 1\r\n".repeat(1000)),
                cut("abc"),
                Next::Another,
            ),
        ])
        .collect()
}

/// An answer with chunks and one with a length, cut at every boundary.
fn cuts() -> Vec<Case> {
    let (chunks, length) = (chunked("3;x=1\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"), good());
    let mut cases = Vec::new();
    for (name, text) in [("chunks", chunks), ("a length", length)] {
        let head = text.find("\r\n\r\n").expect("the end of a head") + 4;
        // What the other has not shown.
        let from = if name == "chunks" { 0 } else { "HTTP/1.1 200 OK\r\n".len() };
        for at in boundaries(&text).into_iter().filter(|&at| at > from) {
            let body = match name {
                "chunks" => text.find("abc").map_or("", |data| &text[data.min(at)..(data + 3).min(at)]),
                _ => &text[head.min(at)..at],
            };
            let outcome = if at < head { Invalid } else { cut(body) };
            cases.push(case("cuts", format!("{name}, cut at {at}"), closed(&text[..at]), outcome, Next::Another));
        }
    }
    cases
}
