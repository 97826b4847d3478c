//! Malformed and ambiguous HTTP/1.1: each is refused, or forwarded as exactly one request that the sidecar frames, and
//! none hangs.
//!
//! `{case}` in a request becomes its number, so that what the upstream was sent can be told apart although all go at
//! once; what must never be seen as a request of its own asks for `/smuggled`.

use std::net::SocketAddr;

use crate::support::{Raw, Received, Upstream, World};

struct Case {
    name: &'static str,
    bytes: Vec<u8>,
    fate: Fate,
}

enum Fate {
    /// This status, and nothing reaches the upstream.
    Refused(u16),
    /// One request reaches the upstream, with this body.
    Forwarded(&'static [u8]),
    /// One request reaches the upstream, and what follows it is refused with this status.
    ForwardedThenRefused(&'static [u8], u16),
    /// A part may have reached the upstream before the fault was seen, but no whole request; the client is told this.
    BrokenOff(u16),
}

use Fate::{BrokenOff, Forwarded, ForwardedThenRefused, Refused};

/// A request line and the fields that every good request has.
fn head(line: &str, fields: &str) -> String {
    format!("{line}\r\nHost: localhost\r\nX-Flexslot-Tenant: acme\r\n{fields}\r\n")
}

fn get(fields: &str) -> String {
    head("GET /api/public/v1/decks/?case={case} HTTP/1.1", fields)
}

fn post(fields: &str, body: &str) -> String {
    head("POST /api/public/v1/decks/?case={case} HTTP/1.1", fields) + body
}

fn chunked(body: &str) -> String {
    post("Transfer-Encoding: chunked\r\n", body)
}

fn path(path: &str) -> String {
    head(&format!("GET {path}?case={{case}} HTTP/1.1"), "")
}

const SMUGGLED: &str = "GET /api/public/v1/smuggled HTTP/1.1\r\nHost: localhost\r\nX-Flexslot-Tenant: acme\r\n\r\n";

fn case(name: &'static str, bytes: impl Into<Vec<u8>>, fate: Fate) -> Case {
    Case { name, bytes: bytes.into(), fate }
}

fn request_lines() -> Vec<Case> {
    let line = |line: &str| head(line, "");
    vec![
        case("bare LF ends the request line", get("").replacen("\r\n", "\n", 1), Refused(400)),
        case("bare LF ends every line", get("").replace("\r\n", "\n"), Refused(400)),
        case("bare CR in the request line", line("GET /api/public/v1/decks/\rx HTTP/1.1"), Refused(400)),
        case("two spaces before the target", line("GET  /api/public/v1/decks/ HTTP/1.1"), Refused(400)),
        case("a space after the version", line("GET /api/public/v1/decks/ HTTP/1.1 "), Refused(400)),
        case("a tab between method and target", line("GET\t/api/public/v1/decks/ HTTP/1.1"), Refused(400)),
        case("a space in the target", line("GET /api/public/v1/de cks/ HTTP/1.1"), Refused(400)),
        case("a space before the method", line(" GET /api/public/v1/decks/ HTTP/1.1"), Refused(400)),
        case("no version (HTTP/0.9)", "GET /api/public/v1/decks/\r\n\r\n", Refused(400)),
        case("HTTP/2.0 in a request line", line("GET /api/public/v1/decks/ HTTP/2.0"), Refused(400)),
        case("HTTP/1.10", line("GET /api/public/v1/decks/ HTTP/1.10"), Refused(400)),
        case("a version in lower case", line("GET /api/public/v1/decks/ http/1.1"), Refused(400)),
        case("a method that is no token", line("G(T /api/public/v1/decks/ HTTP/1.1"), Refused(400)),
        case("NUL in the target", line("GET /api/public/v1/de\0cks/ HTTP/1.1"), Refused(400)),
        case("a control character in the target", line("GET /api/public/v1/de\x07cks/ HTTP/1.1"), Refused(400)),
        case("DEL in the target", line("GET /api/public/v1/de\x7fcks/ HTTP/1.1"), Refused(400)),
        case(
            "bytes beyond ASCII in the target",
            &b"GET /api/public/v1/\xff HTTP/1.1\r\nHost: localhost\r\n\r\n"[..],
            Refused(400),
        ),
        case("a target without a slash", line("GET api/public/v1/decks/ HTTP/1.1"), Refused(400)),
        case("an asterisk for GET", line("GET * HTTP/1.1"), Refused(400)),
        case("an asterisk for OPTIONS", line("OPTIONS * HTTP/1.1"), Refused(404)),
        case("an authority for GET", line("GET localhost:80 HTTP/1.1"), Refused(400)),
        case("a fragment", line("GET /api/public/v1/decks/#x HTTP/1.1"), Refused(400)),
        case("another host in the target", line("GET http://evil.example/api/public/v1/decks/ HTTP/1.1"), Refused(421)),
        case(
            "a user in the target",
            line("GET http://localhost@evil.example/api/public/v1/decks/ HTTP/1.1"),
            Refused(400),
        ),
        case("another scheme in the target", line("GET ftp://localhost/api/public/v1/decks/ HTTP/1.1"), Refused(400)),
        case("a TLS client hello", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03".to_vec(), Refused(400)),
        case("half of the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", Refused(400)),
        case("two empty lines first", format!("\r\n\r\n{}", get("")), Refused(400)),
        case("one empty line first", format!("\r\n{}", get("Connection: close\r\n")), Forwarded(b"")),
        case("an endless request line", format!("GET /{} HTTP/1.1\r\n", "a".repeat(70_000)), Refused(414)),
        case("an endless method", format!("{} / HTTP/1.1\r\n", "A".repeat(70_000)), Refused(400)),
    ]
}

fn fields() -> Vec<Case> {
    vec![
        case("whitespace before the colon", get("X-A : 1\r\n"), Refused(400)),
        case("a tab before the colon", get("X-A\t: 1\r\n"), Refused(400)),
        case("a folded field", get("X-A: 1\r\n 2\r\n"), Refused(400)),
        case("a field folded with a tab", get("X-A: 1\r\n\t2\r\n"), Refused(400)),
        case(
            "a space before the first field",
            "GET /api/public/v1/decks/ HTTP/1.1\r\n Host: localhost\r\n\r\n",
            Refused(400),
        ),
        case("bare LF ends a field", get("X-A: 1\n"), Refused(400)),
        case("bare CR in a value", get("X-A: 1\rX-B: 2\r\n"), Refused(400)),
        case("bare LF ends the head", get("").replace("acme\r\n\r\n", "acme\r\n\n"), Refused(400)),
        case("NUL in a value", get("X-A: 1\x002\r\n"), Refused(400)),
        case("NUL in a name", get("X-\0A: 1\r\n"), Refused(400)),
        case("an empty name", get(": 1\r\n"), Refused(400)),
        case("a line without a colon", get("X-A\r\n"), Refused(400)),
        case("a space in a name", get("X A: 1\r\n"), Refused(400)),
        case(
            "bytes beyond ASCII in a name",
            [get("").trim_end().as_bytes(), b"\r\nX-\xe9: 1\r\n\r\n"].concat(),
            Refused(400),
        ),
        case("a huge field", get(&format!("X-A: {}\r\n", "a".repeat(70_000))), Refused(431)),
        case("a huge name", get(&format!("{}: 1\r\n", "a".repeat(70_000))), Refused(431)),
        case("very many fields", get(&"X-A: 1\r\n".repeat(200)), Refused(431)),
        case("no Host", "GET /api/public/v1/decks/ HTTP/1.1\r\nX-Flexslot-Tenant: acme\r\n\r\n", Refused(400)),
        case("two Hosts", get("Host: localhost\r\n"), Refused(400)),
        case("two Hosts that differ", get("Host: evil.example\r\n"), Refused(400)),
        case("a Host with a path", get("").replace("localhost", "localhost/x"), Refused(400)),
        case("a Host with a user", get("").replace("localhost", "a@localhost"), Refused(400)),
        case("a second tenant", get("x-flexslot-tenant: beta\r\n"), Refused(400)),
        case("a tenant header with an underscore", get("X_Flexslot_Tenant: beta\r\n"), Refused(400)),
        case(
            "Connection names what frames the body",
            post("Content-Length: 3\r\nConnection: close, content-length\r\n", "abc"),
            Forwarded(b"abc"),
        ),
    ]
}

fn framing() -> Vec<Case> {
    let smuggling = |fields: &str| post(fields, &format!("0\r\n\r\n{SMUGGLED}"));
    let length = format!("Content-Length: {}\r\n", 5 + SMUGGLED.len());
    vec![
        case(
            "Content-Length before Transfer-Encoding",
            smuggling(&format!("{length}Transfer-Encoding: chunked\r\n")),
            Refused(400),
        ),
        case(
            "Transfer-Encoding before Content-Length",
            smuggling(&format!("Transfer-Encoding: chunked\r\n{length}")),
            Refused(400),
        ),
        case("two lengths that differ", smuggling(&format!("{length}Content-Length: 5\r\n")), Refused(400)),
        case("two lengths that agree", smuggling(&format!("{length}{length}")), Refused(400)),
        case("a list of lengths", post("Content-Length: 3, 3\r\n", "abc"), Refused(400)),
        case("a signed length", post("Content-Length: +3\r\n", "abc"), Refused(400)),
        case("a negative length", post("Content-Length: -1\r\n", "abc"), Refused(400)),
        case("a hexadecimal length", post("Content-Length: 0x3\r\n", "abc"), Refused(400)),
        case("an empty length", post("Content-Length:\r\n", "abc"), Refused(400)),
        case("a length with a space", post("Content-Length: 3 3\r\n", "abc"), Refused(400)),
        case("a length beyond 64 bits", post("Content-Length: 18446744073709551619\r\n", "abc"), Refused(400)),
        case("gzip before chunked", smuggling("Transfer-Encoding: gzip, chunked\r\n"), Refused(400)),
        case("chunked before gzip", smuggling("Transfer-Encoding: chunked, gzip\r\n"), Refused(400)),
        case("chunked twice", smuggling("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), Refused(400)),
        case(
            "chunked and identity",
            smuggling("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
            Refused(400),
        ),
        case("an unknown coding", smuggling("Transfer-Encoding: xchunked\r\n"), Refused(400)),
        case("an empty coding", smuggling("Transfer-Encoding:\r\n"), Refused(400)),
        case("a coding with a parameter", smuggling("Transfer-Encoding: chunked;x=1\r\n"), Refused(400)),
        case("a coding behind a vertical tab", smuggling("Transfer-Encoding: \x0bchunked\r\n"), Refused(400)),
        case(
            "a coding with a space before the colon",
            smuggling(&format!("{length}Transfer-Encoding : chunked\r\n")),
            Refused(400),
        ),
        case("a folded coding", smuggling(&format!("{length}Transfer-Encoding:\r\n chunked\r\n")), Refused(400)),
        case("chunked in HTTP/1.0", chunked("3\r\nabc\r\n0\r\n\r\n").replace("HTTP/1.1", "HTTP/1.0"), Refused(400)),
        case(
            "CHUNKED in upper case",
            post("Transfer-Encoding: CHUNKED\r\n", "3\r\nabc\r\n0\r\n\r\n"),
            Forwarded(b"abc"),
        ),
        case("a GET with a length", get("Content-Length: 3\r\n") + "abc", Forwarded(b"abc")),
        case("a GET with chunks", get("Transfer-Encoding: chunked\r\n") + "3\r\nabc\r\n0\r\n\r\n", Forwarded(b"abc")),
        case(
            "more than the length",
            post("Content-Length: 3\r\n", "abcGARBAGE\r\n\r\n"),
            ForwardedThenRefused(b"abc", 400),
        ),
        case("less than the length", post("Content-Length: 10\r\n", "abc"), BrokenOff(408)),
        case(
            "an upgrade",
            post("Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n", "abc"),
            Forwarded(b"abc"),
        ),
    ]
}

fn chunks() -> Vec<Case> {
    vec![
        case("a chunk size that is no number", chunked("xyz\r\nabc\r\n0\r\n\r\n"), BrokenOff(400)),
        case("a chunk size with 0x", chunked("0x3\r\nabc\r\n0\r\n\r\n"), BrokenOff(400)),
        case("a signed chunk size", chunked("+3\r\nabc\r\n0\r\n\r\n"), BrokenOff(400)),
        case("an empty chunk size", chunked("\r\nabc\r\n0\r\n\r\n"), BrokenOff(400)),
        case("a chunk size beyond 64 bits", chunked("10000000000000003\r\nabc\r\n0\r\n\r\n"), BrokenOff(400)),
        case("spaces after a chunk size", chunked("3 \r\nabc\r\n0\r\n\r\n"), BrokenOff(400)),
        case("bare LF after a chunk size", chunked("3\nabc\r\n0\r\n\r\n"), BrokenOff(400)),
        case("bare CR after a chunk size", chunked("3\rabc\r\n0\r\n\r\n"), BrokenOff(400)),
        case("a chunk longer than its size", chunked("3\r\nabcd\r\n0\r\n\r\n"), BrokenOff(400)),
        case("a chunk shorter than its size", chunked("5\r\nabc\r\n0\r\n\r\n"), BrokenOff(400)),
        case("bare LF after a chunk", chunked("3\r\nabc\n0\r\n\r\n"), BrokenOff(400)),
        case("bare LF ends the chunks", chunked("3\r\nabc\r\n0\r\n\n"), BrokenOff(400)),
        case("NUL in an extension", chunked("3;a=\0\r\nabc\r\n0\r\n\r\n"), BrokenOff(400)),
        case("bare LF in an extension", chunked("3;a\nabc\r\n0\r\n\r\n"), BrokenOff(400)),
        case(
            "an extension without end",
            chunked(&format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(70_000))),
            BrokenOff(400),
        ),
        case("a folded trailer", chunked("3\r\nabc\r\n0\r\nX-A: 1\r\n 2\r\n\r\n"), BrokenOff(400)),
        case("a trailer with a space before the colon", chunked("3\r\nabc\r\n0\r\nX-A : 1\r\n\r\n"), BrokenOff(400)),
        case("chunks that never end", chunked("3\r\nabc\r\n"), BrokenOff(408)),
        case("an ordinary extension", chunked("3;name=\"va;lue\"\r\nabc\r\n0\r\n\r\n"), Forwarded(b"abc")),
        case("leading zeros", chunked("0003\r\nabc\r\n000\r\n\r\n"), Forwarded(b"abc")),
        case("framing in trailers", chunked("3\r\nabc\r\n0\r\nContent-Length: 9\r\nX-A: 1\r\n\r\n"), Forwarded(b"abc")),
        case("something after the last chunk", chunked("0\r\n\r\nGARBAGE\r\n\r\n"), ForwardedThenRefused(b"", 400)),
    ]
}

fn paths() -> Vec<Case> {
    vec![
        case("a dot segment", path("/api/public/v1/../v1/decks/"), Refused(400)),
        case("an encoded dot segment", path("/api/public/v1/%2e%2E/decks/"), Refused(400)),
        case("a half-encoded dot segment", path("/api/public/v1/.%2e/decks/"), Refused(400)),
        case("a dot segment encoded twice", path("/api/public/v1/%252e%252e/decks/"), Refused(400)),
        case("a dot segment behind an encoded slash", path("/api/public/v1/a%2f..%2fb"), Refused(400)),
        case("a dot segment behind a slash encoded twice", path("/api/public/v1/a%252f..%252fb"), Refused(400)),
        case("a dot segment with a parameter", path("/api/public/v1/..;x=1/decks/"), Refused(400)),
        case("a backslash", path("/api/public/v1/a\\..\\b"), Refused(400)),
        case("an encoded backslash", path("/api/public/v1/a%5c..%5cb"), Refused(400)),
        case("a backslash encoded twice", path("/api/public/v1/a%255cb"), Refused(400)),
        case("an encoded NUL", path("/api/public/v1/decks%00"), Refused(400)),
        case("an encoded CRLF", path("/api/public/v1/a%0d%0aX-Injected:%201"), Refused(400)),
        case("empty segments", path("/api/public/v1//decks/"), Refused(400)),
        case("an overlong slash", path("/api/public/v1/a%c0%afb"), Refused(400)),
        case("a broken escape", path("/api/public/v1/a%zz"), Refused(400)),
        case("an encoded slash into a guarded path", path("/api/public/v1/me%2Fpartner"), Refused(400)),
        case("an encoded slash as data", path("/api/public/v1/cards/Fire%20%2F%2F%20Ice"), Forwarded(b"")),
        case("the token endpoint", path("/api/public/v1/oauth/token"), Refused(403)),
        case("the token endpoint in disguise", path("/api/public/v1/%4fAuth/token"), Refused(403)),
        case("outside the API", path("/api/public/v2/decks/"), Refused(404)),
    ]
}

/// Sends a case and reads until the sidecar closes: every deadline of the sidecar is short in this world.
async fn outcome(sidecar: SocketAddr, bytes: Vec<u8>) -> (Vec<u16>, Vec<u8>) {
    let mut raw = Raw::connect(sidecar).await;
    raw.send(bytes).await;
    let (replies, rest) = raw.replies_to_end().await;
    (replies.iter().map(|reply| reply.status).collect(), rest)
}

fn replaced(bytes: &[u8], number: &str) -> Vec<u8> {
    let marker = b"{case}";
    match bytes.windows(marker.len()).position(|window| window == marker) {
        Some(at) => [&bytes[..at], number.as_bytes(), &bytes[at + marker.len()..]].concat(),
        None => bytes.to_vec(),
    }
}

/// One request, framed in one way, with what the sidecar owns said once.
fn check_forwarded(name: &str, seen: &Received, body: &[u8]) {
    assert_eq!(seen.body, body, "{name}: {seen:?}");
    assert!(seen.line().ends_with(" HTTP/1.1"), "{name}: {seen:?}");
    let count = |field: &str| seen.names().iter().filter(|name| *name == field).count();
    assert_eq!((count("host"), count("authorization"), count("x-flexslot-tenant")), (1, 1, 0), "{name}: {seen:?}");
    assert!(count("content-length") + count("transfer-encoding") <= 1, "{name}: {seen:?}");
    let framed = count("content-length") + count("transfer-encoding") == 1;
    assert!(framed || body.is_empty(), "{name}: {seen:?}");
    assert!(
        !seen.coded.windows(9).any(|window| window.eq_ignore_ascii_case(b"content-l")),
        "{name}: framing in trailers"
    );
}

#[tokio::test]
async fn what_is_malformed_or_ambiguous_is_refused_or_forwarded_as_exactly_one_request() {
    let upstream = Upstream::content().await;
    let deadlines =
        "limits.header_timeout = \"1s\"\nlimits.keep_alive_timeout = \"1s\"\nupstream.body_idle_timeout = \"1s\"";
    let world = World::plan().upstream(&upstream).config(deadlines).start().await;
    world.tenant("acme").with_this_pat("p").await;
    let cases: Vec<Case> = [request_lines(), fields(), framing(), chunks(), paths()].into_iter().flatten().collect();
    assert!(cases.len() >= 60, "{}", cases.len());
    let numbered = cases.iter().enumerate().map(|(number, case)| replaced(&case.bytes, &number.to_string()));
    let outcomes: Vec<_> = numbered.map(|bytes| tokio::spawn(outcome(world.address(), bytes))).collect();
    let (mut forwarded, mut faults) = (0, Vec::new());
    for (number, (case, outcome)) in cases.iter().zip(outcomes).enumerate() {
        let (statuses, rest) = outcome.await.unwrap();
        let mark = format!("?case={number} ");
        let seen: Vec<_> = upstream.seen().into_iter().filter(|seen| seen.line().contains(&mark)).collect();
        let expected = match &case.fate {
            Refused(status) | BrokenOff(status) => vec![*status],
            Forwarded(_) => vec![200],
            ForwardedThenRefused(_, status) => vec![200, *status],
        };
        if statuses != expected || !rest.is_empty() {
            faults.push(format!("{}: {statuses:?} instead of {expected:?}", case.name));
        }
        let begun = upstream.heads().iter().filter(|head| head.contains(&mark)).count();
        match (&case.fate, &seen[..]) {
            (Refused(_), []) if begun == 0 => {}
            (BrokenOff(_), []) if begun <= 1 => {}
            (Forwarded(body) | ForwardedThenRefused(body, _), [seen]) => check_forwarded(case.name, seen, body),
            _ => faults.push(format!("{}: the upstream saw {seen:?} and {begun} heads", case.name)),
        }
        forwarded += seen.len();
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let all = upstream.seen();
    assert!(upstream.heads().iter().all(|head| !head.contains("smuggled")), "{:?}", upstream.heads());
    assert_eq!(all.len(), forwarded, "everything that came is one of the cases: {all:?}");
    world.finish().await;
}
