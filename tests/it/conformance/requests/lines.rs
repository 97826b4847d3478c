//! Request lines: methods, versions, and the forms of targets.

use super::{Case, TARGET, case, forwarded, get, head, refused, several};
use crate::conformance::setup::shown;

/// What is not one of the two versions that are read.
const VERSIONS: [&str; 26] = [
    "",
    "HTTP/",
    "HTTP/1",
    "HTTP/1.",
    "HTTP/.1",
    "HTTP/0.9",
    "HTTP/1.2",
    "HTTP/1.9",
    "HTTP/2",
    "HTTP/2.0",
    "HTTP/3.0",
    "HTTP/01.1",
    "HTTP/1.01",
    "HTTP/1.10",
    "HTTP/1.1.1",
    "HTTP/1,1",
    "HTTP/+1.1",
    "HTTP/-1.1",
    "HTTP/1.1;x",
    "HTTP/１.１",
    "http/1.1",
    "Http/1.1",
    "HTTP 1.1",
    "HTTPS/1.1",
    "ICAP/1.0",
    "HTTP/1.1 HTTP/1.1",
];

/// Methods that are forwarded as they are, with what nginx answers to each.
const METHODS: [(&str, u16); 16] = [
    ("HEAD", 204),
    ("PUT", 204),
    ("PATCH", 204),
    ("DELETE", 204),
    ("OPTIONS", 204),
    ("PROPFIND", 204),
    ("MKCOL", 204),
    ("PURGE", 204),
    ("M-SEARCH", 204),
    ("X_Y", 204),
    // nginx knows no method in lower case, nor all that a token may be made of.
    ("get", 400),
    ("Get", 400),
    ("gET", 400),
    ("G3T", 400),
    ("G!T", 400),
    ("G~T", 400),
];

/// What is no token.
const NO_METHODS: [&str; 16] =
    ["", "G(T", "G)T", "G<T", "G>T", "G@T", "G,T", "G;T", "G:T", "G\\T", "G\"T", "G/T", "G[T", "G]T", "G{T", "GÉT"];

pub(super) fn cases() -> Vec<Case> {
    [versions(), methods(), targets(), shapes()].into_iter().flatten().collect()
}

fn versions() -> Vec<Case> {
    let line = |version: &str| head(&format!("GET {TARGET} {version}"), "");
    let mut cases: Vec<_> =
        VERSIONS.iter().map(|version| case("versions", shown(version), &line(version), refused(400))).collect();
    let old = |fields: &str| get(fields).replace("HTTP/1.1", "HTTP/1.0");
    cases.extend([
        case("versions", "HTTP/0.9: a line and nothing else", &format!("GET {TARGET}\r\n"), refused(400)),
        case("versions", "HTTP/0.9, with an empty line", &format!("GET {TARGET}\r\n\r\n"), refused(400)),
        case("versions", "HTTP/1.0", &old(""), forwarded("")),
        case("versions", "HTTP/1.0 that is to be kept", &old("Connection: keep-alive\r\n"), forwarded("")),
        case("versions", "HTTP/1.0 with a request behind it", &(old("") + super::SMUGGLED), forwarded("")),
        case("versions", "HTTP/1.0 and a length", &(old("Content-Length: 3\r\n") + "abc"), forwarded("abc")),
        case(
            "versions",
            "HTTP/1.0 that expects 100",
            &(old("Expect: 100-continue\r\nContent-Length: 3\r\n") + "abc"),
            forwarded("abc"),
        ),
        case(
            "versions",
            "HTTP/1.0 with a coding",
            &(old("Transfer-Encoding: chunked\r\n") + "3\r\nabc\r\n0\r\n\r\n"),
            refused(400),
        ),
        case(
            "versions",
            "HTTP/1.0 with a coding and a length",
            &(old("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n") + "3\r\nabc\r\n0\r\n\r\n"),
            refused(400),
        ),
        case("versions", "HTTP/1.0 with two Hosts", &old("Host: localhost\r\n"), refused(400)),
        case("versions", "HTTP/1.0 without a Host", &old("").replace("Host: localhost\r\n", ""), refused(421)),
    ]);
    cases
}

fn methods() -> Vec<Case> {
    let line = |method: &str| head(&format!("{method} {TARGET} HTTP/1.1"), "");
    let good =
        METHODS.iter().map(|(method, status)| case("methods", *method, &line(method), forwarded("")).nginx(*status));
    let bad = NO_METHODS.iter().map(|method| case("methods", shown(method), &line(method), refused(400)));
    let unsupported = ["CONNECT", "TRACE"].map(|method| {
        // CONNECT goes with an authority alone.
        let status = if method == "CONNECT" { 400 } else { 501 };
        case("methods", method, &line(method), refused(status))
    });
    let longest = "M".repeat(64);
    good.chain(bad)
        .chain(unsupported)
        .chain([
            case("methods", "as long as may be", &line(&longest), forwarded("")),
            case("methods", "one letter longer", &line(&(longest + "M")), refused(400)),
            case("methods", "the preface's", &head(&format!("PRI {TARGET} HTTP/1.1"), ""), forwarded("")),
            case("methods", "the preface's with an asterisk", &head("PRI * HTTP/1.1", ""), refused(400)),
            case("methods", "a tunnel", &head("CONNECT api.flexslot.gg:443 HTTP/1.1", ""), refused(501)),
            case("methods", "a tunnel to ourselves", &head("CONNECT localhost:80 HTTP/1.1", ""), refused(501)),
            case("methods", "a tunnel with a path", &head("CONNECT localhost:80/x HTTP/1.1", ""), refused(400)),
        ])
        .collect()
}

fn targets() -> Vec<Case> {
    let line = |target: &str| head(&format!("GET {target} HTTP/1.1"), "");
    let path = &TARGET[1..];
    let taken = [
        format!("http://localhost/{path}"),
        format!("http://LOCALHOST/{path}"),
        format!("http://localhost:1/{path}"),
        format!("http://127.0.0.1/{path}"),
        format!("http://127.9.9.9/{path}"),
        format!("http://[::1]/{path}"),
        format!("http://a.localhost/{path}"),
        format!("https://localhost/{path}"),
        format!("HTTP://localhost/{path}"),
        format!("http://localhost/t/acme/{path}"),
        // No port, and no character of a path (RFC 3986); the library that reads targets lets them be, and both upstreams
        // see the path as it was sent.
        format!("http://localhost:99999/{path}"),
        format!("{TARGET}\""),
    ];
    let elsewhere = [
        format!("http://evil.example/{path}"),
        format!("http://localhost.evil.example/{path}"),
        format!("http://evil.example:80/{path}"),
        format!("http://0.0.0.0/{path}"),
        format!("http://[::]/{path}"),
        format!("http://10.0.0.1/{path}"),
        format!("http://2130706433/{path}"),
        format!("http://0x7f000001/{path}"),
        format!("http://localhost./{path}"),
        format!("http://localhost:port/{path}"),
    ];
    let wrong = [
        format!("http://localhost@evil.example/{path}"),
        format!("http://evil.example@localhost/{path}"),
        format!("http://user:password@localhost/{path}"),
        format!("ftp://localhost/{path}"),
        format!("ws://localhost/{path}"),
        format!("file:///{path}"),
        format!("http:///{path}"),
        format!("http:/{path}"),
        format!("http:localhost/{path}"),
        format!("//localhost/{path}"),
        format!("http://localhost\\@evil.example/{path}"),
        format!("http://[::1/{path}"),
        format!("localhost/{path}"),
        "localhost:80".to_owned(),
        path.to_owned(),
        format!("?{path}"),
        "*".to_owned(),
        "**".to_owned(),
        format!("*/{path}"),
        format!("{TARGET}#fragment"),
        format!("{TARGET}#"),
        format!("#{TARGET}"),
        format!("{TARGET}<"),
    ];
    let named = |text: &str| format!("target {}", shown(text));
    let taken = taken.iter().map(|target| case("targets", named(target), &line(target), forwarded("")));
    let elsewhere = elsewhere.iter().map(|target| case("targets", named(target), &line(target), refused(421)));
    let wrong = wrong.iter().map(|target| case("targets", named(target), &line(target), refused(400)));
    let queries = [
        "?",
        "?a=b&c",
        "?a=/../b",
        "?next=http://x/../y//z",
        "?%zz",
        "?a=%00",
        "??",
        "?a;b",
        "?q='x'",
        "?/api/public/v1/x",
    ];
    let queries = queries.map(|query| case("targets", named(query), &line(&format!("{TARGET}{query}")), forwarded("")));
    taken
        .chain(elsewhere)
        .chain(wrong)
        .chain(queries)
        .chain([
            case("targets", "an asterisk for OPTIONS", &head("OPTIONS * HTTP/1.1", ""), refused(404)),
            case(
                "targets",
                "our host twice, differing",
                &head(&format!("GET http://localhost/{path} HTTP/1.1"), "")
                    .replace("Host: localhost", "Host: evil.example"),
                forwarded(""),
            ),
        ])
        .collect()
}

fn shapes() -> Vec<Case> {
    let good = get("");
    let one = |name: &str, text: String, fate| case("request lines", name, &text, fate);
    vec![
        one("bare LF ends the line", good.replacen("\r\n", "\n", 1), refused(400)),
        one("bare LF ends every line", good.replace("\r\n", "\n"), refused(400)),
        one("bare CR ends the line", good.replacen("\r\n", "\r", 1), refused(400)),
        one("two CR end the line", good.replacen("\r\n", "\r\r\n", 1), refused(400)),
        one("LF CR ends the line", good.replacen("\r\n", "\n\r", 1), refused(400)),
        one("no space at all", good.replacen(' ', "", 2), refused(400)),
        one("nothing but a method", "GET\r\n\r\n".into(), refused(400)),
        one("nothing but spaces", "   \r\n\r\n".into(), refused(400)),
        one("one empty line before", format!("\r\n{good}"), forwarded("")),
        one("two empty lines before", format!("\r\n\r\n{good}"), refused(400)),
        one("an empty line of LF before", format!("\n{good}"), refused(400)),
        one("an empty line of CR before", format!("\r{good}"), refused(400)),
        one("a line of a space before", format!(" \r\n{good}"), refused(400)),
        one("a status line", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".into(), refused(400)),
        one("a byte order mark before", format!("\u{ef}\u{bb}\u{bf}{good}"), refused(400)),
        one("a TLS client hello", "\x16\x03\x01\x02\0\x01\0\x01\u{fc}\x03\x03".into(), refused(400)),
        one("an SSH greeting", "SSH-2.0-OpenSSH_9.2\r\n".into(), refused(400)),
        one("the PROXY protocol", format!("PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n{good}"), refused(400)),
        one(
            "the PROXY protocol, version 2",
            format!("\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c{}{good}", "\0".repeat(12)),
            refused(400),
        ),
        one("half of the HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".into(), refused(400)),
        one(
            "the HTTP/2 preface behind a request",
            format!("{good}PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
            several(&[""]).then(400),
        ),
    ]
}
