//! Status lines and fields.

use super::{Case, Invalid, Next, Outcome, case, closed, good, ok, passed, shown, whole};

/// Status lines that are read, with the status; the client gets it with the body `abc`.
const READ: [(&str, u16); 14] = [
    ("HTTP/1.1 200", 200),
    ("HTTP/1.1 200 ", 200),
    ("HTTP/1.1 200 Fine, thank you: (really)", 200),
    ("HTTP/1.1 200 OK\t", 200),
    ("HTTP/1.1 200 OK ", 200),
    ("HTTP/1.1 200 sch\u{f6}n", 200),
    ("HTTP/1.1 201 OK", 201),
    ("HTTP/1.1 299 Odd", 299),
    ("HTTP/1.1 302 Found", 302),
    ("HTTP/1.1 418 I'm a teapot", 418),
    ("HTTP/1.1 451 No", 451),
    ("HTTP/1.1 599 Odd", 599),
    ("HTTP/1.1 600 Odd", 600),
    ("HTTP/1.1 999 Odd", 999),
];

const UNREAD: [&str; 30] = [
    "HTTP/1.1",
    "HTTP/1.1 ",
    "HTTP/1.1 2 OK",
    "HTTP/1.1 20 OK",
    "HTTP/1.1 2000 OK",
    "HTTP/1.1 200OK",
    "HTTP/1.1 000 OK",
    "HTTP/1.1 099 OK",
    "HTTP/1.1 +20 OK",
    "HTTP/1.1 -20 OK",
    "HTTP/1.1 0x2 OK",
    "HTTP/1.1 2.0 OK",
    "HTTP/1.1 abc OK",
    "HTTP/1.1 ２００ OK",
    "HTTP/1.1  200 OK",
    "HTTP/1.1\t200 OK",
    " HTTP/1.1 200 OK",
    "HTTP/1.1 200 O\0K",
    "HTTP/1.1 200 O\x07K",
    "HTTP/1.1 200 O\rK",
    "HTTP/1.2 200 OK",
    "HTTP/2 200 OK",
    "HTTP/2.0 200 OK",
    "HTTP/0.9 200 OK",
    "http/1.1 200 OK",
    "HTTPS/1.1 200 OK",
    "ICY 200 OK",
    "200 OK",
    "GET / HTTP/1.1",
    "SSH-2.0-OpenSSH_9.2",
];

/// Fields that change nothing about an answer with three bytes of body.
const FIELDS: [&str; 22] = [
    "X:",
    "X: ",
    "X:1",
    "X:\t1 \t",
    "X: \u{ff}\u{80}",
    "X: 1\r\nX: 2",
    "!#$%&'*+-.^_`|~: 1",
    "Set-Cookie: a=b",
    "SET_COOKIE: a=b\r\nSet-Cookie: a=b\r\nset-cookie: c=d",
    "Connection: X-Hop\r\nX-Hop: 1",
    "Connection: keep-alive, X-Hop\r\nX-Hop: 1",
    "Keep-Alive: timeout=1",
    "Upgrade: h2c",
    "Trailer: Content-Length",
    "Location: /x%0d%0aSet-Cookie:%20a=b",
    "DPoP-Nonce: abc",
    "Authorization: Bearer flx_pat_of_acme_for_this_test",
    "Flexslot-Proxy-Request-Id: forged",
    "Content-Type: text/html\r\nContent-Type: text/plain",
    "Proxy-Status: forged; error=dns_error",
    "Via: 1.1 flexslot-proxy",
    "Content-Encoding: gzip",
];

/// Fields that nobody should read, and that another reader could read in another way.
const BAD_FIELDS: [&str; 18] = [
    "X: 1\r\n 2",
    "X: 1\r\n\t2",
    " X: 1",
    "\tX: 1",
    "X : 1",
    "X\t: 1",
    "X",
    ": 1",
    "X Y: 1",
    "X\0: 1",
    "X: \0",
    "X: 1\x0b2",
    "X: 1\x7f",
    "X: a\rSet-Cookie: b=c",
    "X: a\r\rSet-Cookie: b=c",
    "X\u{ff}: 1",
    "\u{202e}X: 1",
    "X\r: 1",
];

pub(super) fn cases() -> Vec<Case> {
    [status_lines(), fields(), sizes()].into_iter().flatten().collect()
}

fn status_lines() -> Vec<Case> {
    let said = |line: &str| format!("{line}\r\nContent-Length: 3\r\n\r\nabc");
    let read = READ
        .iter()
        .map(|(line, status)| case("status lines", shown(line), whole(said(line)), passed(*status, "abc"), Next::Same));
    let unread = UNREAD.iter().map(|line| case("status lines", shown(line), whole(said(line)), Invalid, Next::Another));
    let odd = |name: &str, text: String, outcome, next| case("status lines", name, whole(text), outcome, next);
    read.chain(unread)
        .chain([
            odd("HTTP/1.0", good().replace("1.1", "1.0"), passed(200, "abc"), Next::Another),
            odd(
                "HTTP/1.0 that is kept",
                ok("Connection: keep-alive\r\nContent-Length: 3\r\n", "abc").replace("1.1", "1.0"),
                passed(200, "abc"),
                Next::Either,
            ),
            odd(
                "the end of the connection, said",
                ok("Connection: close\r\nContent-Length: 3\r\n", "abc"),
                passed(200, "abc"),
                Next::Another,
            ),
            odd("an empty line first", format!("\r\n{}", good()), passed(200, "abc"), Next::Either),
            odd("a reason of 60 KB", good().replace("OK", &"a".repeat(60_000)), passed(200, "abc"), Next::Same),
            odd("a reason of 70 KB", good().replace("OK", &"a".repeat(70_000)), Invalid, Next::Another),
            odd("a TLS alert", "\x15\x03\x03\0\x02\x02\x46\r\n\r\n".into(), Invalid, Next::Another),
            odd("HTTP/2", "\0\0\x06\x04\0\0\0\0\0\0\x03\0\0\0\x64\r\n\r\n".into(), Invalid, Next::Another),
            case("status lines", "nothing and the end", closed(""), Invalid, Next::Another),
            case("status lines", "one byte and the end", closed("H"), Invalid, Next::Another),
            case("status lines", "HTML and the end", closed("<html>200 OK</html>"), Invalid, Next::Another),
        ])
        .collect()
}

fn fields() -> Vec<Case> {
    let said = |line: &str| ok(&format!("{line}\r\nContent-Length: 3\r\n"), "abc");
    let good = FIELDS.iter().map(|line| case("fields", shown(line), whole(said(line)), passed(200, "abc"), Next::Same));
    let bad = BAD_FIELDS.iter().map(|line| case("fields", shown(line), whole(said(line)), Invalid, Next::Another));
    good.chain(bad).collect()
}

fn sizes() -> Vec<Case> {
    let padded = |length: usize| ok(&format!("X: {}\r\nContent-Length: 3\r\n", "a".repeat(length)), "abc");
    let many = |count: usize| {
        ok(&format!("{}Content-Length: 3\r\n", (0..count).map(|n| format!("X-{n}: 1\r\n")).collect::<String>()), "abc")
    };
    let one =
        |name: &str, text: String, outcome: Outcome, next| case("oversized heads", name, whole(text), outcome, next);
    vec![
        one("60 KB in one value", padded(60_000), passed(200, "abc"), Next::Same),
        one("64 KiB in one value", padded(64 << 10), Invalid, Next::Another),
        one("1 MiB in one value", padded(1 << 20), Invalid, Next::Another),
        one(
            "a name of 70 KB",
            ok(&format!("{}: 1\r\nContent-Length: 3\r\n", "x".repeat(70_000)), "abc"),
            Invalid,
            Next::Another,
        ),
        one(
            "a line of 70 KB without an end",
            format!("HTTP/1.1 200 OK\r\n{}", "x".repeat(70_000)),
            Invalid,
            Next::Another,
        ),
        one("99 fields", many(98), passed(200, "abc"), Next::Same),
        one("101 fields", many(100), Invalid, Next::Another),
        one("ten thousand fields", many(10_000), Invalid, Next::Another),
        one(
            "64 KiB in ninety values",
            ok(&format!("X: {}\r\n", "a".repeat(730)).repeat(90), ""),
            Invalid,
            Next::Another,
        ),
    ]
}
