//! Heads that are too large in one way or another, on both sides of each limit.

use super::{Case, case, chunked, forwarded, get, head, post, refused};

/// Fields besides the two that every request has.
fn fields(count: usize) -> String {
    (0..count).map(|number| format!("X-{number}: 1\r\n")).collect()
}

pub(super) fn cases() -> Vec<Case> {
    let one = |name: &str, text: String, fate| case("sizes", name, &text, fate);
    let padded = |length: usize| get(&format!("X-Padding: {}\r\n", "a".repeat(length)));
    let line = |length: usize| head(&format!("GET {}?{} HTTP/1.1", super::TARGET, "a".repeat(length)), "");
    vec![
        one("as many fields as may be", get(&fields(98)), forwarded("")),
        one("one field more", get(&fields(99)), refused(431)),
        one("a thousand fields", get(&fields(1000)), refused(431)),
        one("ten thousand fields of one name", get(&"X: 1\r\n".repeat(10_000)), refused(431)),
        one("a thousand fields without a value", get(&"X:\r\n".repeat(1000)), refused(431)),
        one("60 KiB in one value", padded(60 << 10), forwarded("")),
        one("64 KiB in one value", padded(64 << 10), refused(431)),
        one("1 MiB in one value", padded(1 << 20), refused(431)),
        one("64 KiB in ninety values", get(&format!("X: {}\r\n", "a".repeat(730)).repeat(90)), refused(431)),
        one("a name of 1 KiB", get(&format!("{}: 1\r\n", "x".repeat(1024))), forwarded("")),
        one("a name of 1 KiB and a byte", get(&format!("{}: 1\r\n", "x".repeat(1025))), refused(431)),
        one("a name of 70 KB", get(&format!("{}: 1\r\n", "x".repeat(70_000))), refused(431)),
        one("a line of 70 KB without a colon", get(&format!("{}\r\n", "x".repeat(70_000))), refused(431)),
        one("a target of 60 KB", line(60_000), forwarded("")),
        one("a target of 70 KB", line(70_000), refused(414)),
        one("a target of 70 KB without an end", format!("GET /{}", "a".repeat(70_000)), refused(414)),
        one("a method of 70 KB", format!("{} / HTTP/1.1\r\n", "A".repeat(70_000)), refused(400)),
        one("a version of 70 KB", format!("GET / HTTP/1.1{}\r\n", "1".repeat(70_000)), refused(400)),
        one("70 KB of spaces before the version", format!("GET /{}HTTP/1.1\r\n", " ".repeat(70_000)), refused(400)),
        one("70 KB of empty lines", "\r\n".repeat(35_000), refused(400)),
        one("70 KB of spaces in a value", get(&format!("X:{}1\r\n", " ".repeat(70_000))), refused(431)),
        one("ninety trailers", chunked(&format!("0\r\n{}\r\n", fields(90).replace("X-", "X-S"))), forwarded("")),
        one(
            "a body of 100 KB",
            post("Content-Length: 100000\r\n", &"a".repeat(100_000)),
            forwarded(&"a".repeat(100_000)),
        ),
        one(
            "ten thousand chunks of one byte",
            chunked(&format!("{}0\r\n\r\n", "1\r\na\r\n".repeat(10_000))),
            forwarded(&"a".repeat(10_000)),
        ),
        one("64 MiB and a byte announced", post("Content-Length: 67108865\r\n", "a"), refused(413)),
    ]
}
