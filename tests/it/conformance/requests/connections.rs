//! What a client says about the connection, and what it expects before it sends its body.

use super::{Case, SMUGGLED, case, forwarded, get, post, refused};
use crate::conformance::setup::shown;

/// Lines that change nothing about the one request, which has a body.
const HARMLESS: [&str; 34] = [
    "Connection: close",
    "Connection: keep-alive",
    "Connection: close, keep-alive",
    "Connection: CLOSE",
    "Connection: close\r\nConnection: keep-alive",
    "Connection:",
    "Connection: ,",
    "Connection: ,,close,,",
    "Connection: content-length",
    "Connection: close, Content-Length, Host, Authorization, Via",
    "Connection: transfer-encoding",
    "Connection: \"close\"",
    "Connection: X-A\r\nX-A: 1",
    "Keep-Alive: timeout=100000, max=100000",
    "Proxy-Connection: keep-alive",
    "Proxy-Authorization: Basic YTpi",
    "Proxy-Authenticate: Basic",
    "TE: trailers",
    "TE: gzip, trailers;q=0.5",
    "Connection: TE\r\nTE: trailers",
    "Trailer: Content-Length, Transfer-Encoding",
    "Upgrade: h2c",
    "Connection: Upgrade\r\nUpgrade: h2c",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__",
    "Upgrade: TLS/1.0, HTTP/1.1",
    "Upgrade:",
    "Upgrade: h2c\r\nUpgrade: foo",
    "Connection: Upgrade",
    "Max-Forwards: 0",
    "Expect: 100-Continue",
    "Expect: 100-continue, 100-continue",
    "Expect:",
    "Via: 1.1 flexslot-proxy",
    "Content-Type: multipart/form-data; boundary=\"\r\nX-Boundary: 1",
];

const WEBSOCKETS: [&str; 5] = [
    "Connection: Upgrade\r\nUpgrade: websocket",
    "Upgrade: WebSocket",
    "Upgrade: h2c, websocket",
    "Upgrade: h2c\r\nUpgrade: websocket",
    "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
];

const PAGES: [&str; 5] = [
    "Origin: https://evil.example",
    "Origin: null",
    "Origin: http://localhost\r\nOrigin: http://localhost",
    "Sec-Fetch-Site: cross-site",
    "Sec-Fetch-Site: same-site",
];

pub(super) fn cases() -> Vec<Case> {
    let with = |line: &str| post(&format!("{line}\r\nContent-Length: 3\r\n"), "abc");
    let mut cases: Vec<_> =
        HARMLESS.iter().map(|line| case("connections", shown(line), &with(line), forwarded("abc"))).collect();
    // What follows a refused upgrade is in no protocol that anybody has agreed to.
    cases.extend(
        WEBSOCKETS
            .iter()
            .map(|line| case("upgrades", shown(line), &(get(&format!("{line}\r\n")) + SMUGGLED), refused(501))),
    );
    cases.extend(
        PAGES
            .iter()
            .map(|line| case("pages", shown(line), &with(&format!("{line}\r\nConnection: close")), refused(403))),
    );
    cases.extend([
        case("expectations", "100, with a body at once", &with("Expect: 100-continue"), forwarded("abc")),
        case("expectations", "100, of a request without a body", &get("Expect: 100-continue\r\n"), forwarded("")),
        case(
            "expectations",
            "100, with chunks",
            &post("Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
            forwarded("abc"),
        ),
        case(
            "expectations",
            "100, with a bad length",
            &post("Expect: 100-continue\r\nContent-Length: +3\r\n", "abc"),
            refused(400),
        ),
        // nginx takes one.
        case(
            "expectations",
            "100, said twice",
            &get("Expect: 100-continue\r\nExpect: 100-continue\r\n"),
            forwarded(""),
        )
        .nginx(400),
        case(
            "expectations",
            "100, then another request instead of the body",
            &post(&format!("Expect: 100-continue\r\nContent-Length: {}\r\n", SMUGGLED.len()), SMUGGLED),
            forwarded(SMUGGLED),
        ),
    ]);
    cases
}
