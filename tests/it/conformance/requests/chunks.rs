//! The chunked coding: sizes, extensions, the ends of lines, the last chunk, trailers.

use super::{Case, Fate, SMUGGLED, broken, case, chunked, forwarded};
use crate::conformance::setup::shown;

/// Ways to write the size of `abc`, with extensions.
const SIZES: [&str; 18] = [
    "03",
    "0003",
    "000000000000003",
    "3;",
    "3;a",
    "3;a=b",
    "3;a=\"b\"",
    "3;a=\"b;c\"",
    "3;a=\"\\\"\"",
    "3;a;b=c",
    "3;;",
    "3;=",
    "3; a",
    "3;\ta = b",
    "3;a=\u{ff}",
    "3;0",
    "3;a=0\"",
    "3;a,b",
];

/// What is no size.
const NO_SIZES: [&str; 43] = [
    "",
    " ",
    ";",
    ";a",
    "+3",
    "-3",
    "-0",
    " 3",
    "3 ",
    "\t3",
    "3\t",
    "3 ;a",
    "3\t;a",
    "3\x0b",
    "\x0c3",
    "\x003",
    "0x3",
    "0X3",
    "x3",
    "3x",
    "3h",
    "#3",
    "$3",
    "3_",
    "_3",
    "0_3",
    "3.",
    "3.0",
    "3,3",
    "3 3",
    "'3'",
    "\"3\"",
    "%33",
    "g",
    "３",
    "3\u{a0}",
    "3;a=\0",
    "3;a\x0b",
    "3;\x7f",
    "0000000000000003",
    "10000000000000003",
    "ffffffffffffffff",
    "18446744073709551619",
];

/// Sizes that are read, of which the bytes do not come: what a reader of fewer bits takes for 3 or for less than nothing.
const HUGE: [&str; 6] = ["100000003", "80000003", "ffffffff", "fffffffd", "100000000000003", "fffffffffffffff"];

/// What does not end a line.
const NO_ENDS: [&str; 9] = ["\n", "\r", "\r\r\n", "\n\r", "\0\r\n", " \r", "\r\0\n", "\x0b", "\u{85}"];

/// What does not end the chunks.
const NO_LAST: [&str; 15] = [
    "\r\n\r\n",
    "0\n\r\n",
    "0\r\n\n",
    "0\r\r\n\r\n",
    "0\r\n\r\r\n",
    "0\n\n",
    "-0\r\n\r\n",
    "+0\r\n\r\n",
    "0x0\r\n\r\n",
    " 0\r\n\r\n",
    "0 \r\n\r\n",
    "0\0\r\n\r\n",
    "0\r\n \r\n",
    "0000000000000000\r\n\r\n",
    "0\r\n\0\r\n\r\n",
];

const LAST: [&str; 5] =
    ["00\r\n\r\n", "000000000000000\r\n\r\n", "0;a=b\r\n\r\n", "0;\r\n\r\n", "0;a=\"\\\"\"\r\n\r\n"];

/// Trailers that are read; what is to mean anything about framing, routing or credentials does not get through.
const TRAILERS: [&str; 22] = [
    "X-Sum: 1",
    "X-Sum:",
    "X-Sum: 1\r\nX-Sum: 2",
    "Content-Length: 9",
    "Transfer-Encoding: chunked",
    "Host: localhost",
    "Authorization: Bearer x",
    "X-Flexslot-Tenant: beta",
    "X_Flexslot_Tenant: beta",
    "Proxy-Authorization: Bearer x",
    "Connection: close",
    "Connection: X-Sum\r\nX-Sum: 1",
    "Trailer: X-Sum",
    "TE: trailers",
    "Expect: 100-continue",
    "Upgrade: h2c",
    "Cookie: a=b",
    "Content-Encoding: gzip",
    "Content-Type: text/html",
    "Range: bytes=0-1",
    "Via: 1.1 x",
    "X-HTTP-Method-Override: PUT",
];

const NO_TRAILERS: [&str; 19] = [
    "X-Sum",
    ": 1",
    "X-Sum : 1",
    "X-Sum\t: 1",
    " X-Sum: 1",
    "X Sum: 1",
    "X-Sum: 1\r\n 2",
    "X-Sum: 1\r\n\t2",
    "X-Sum: 1\n",
    "X-Sum: 1\n\r\nX-S: 1",
    "X-Sum: \0",
    "X-\0Sum: 1",
    "X-Sum: \x7f",
    "X-\u{ff}: 1",
    "GET /smuggled HTTP/1.1",
    "Content-Length: +9",
    "Content-Length: 9\r\nContent-Length: 9",
    "Transfer-Encoding: identity",
    "Host: a/b",
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |family, name: &str, body: &str, fate: Fate| {
        cases.push(case(family, shown(name), &chunked(body), fate));
    };
    for size in SIZES {
        add("chunk sizes", size, &format!("{size}\r\nabc\r\n0\r\n\r\n"), forwarded("abc"));
    }
    for size in NO_SIZES {
        add("chunk sizes", size, &format!("{size}\r\nabc\r\n0\r\n\r\n{SMUGGLED}"), broken(400));
    }
    for size in HUGE {
        add("chunk sizes", size, &format!("{size}\r\nabc\r\n0\r\n\r\n{SMUGGLED}"), broken(408));
    }
    for end in NO_ENDS {
        add(
            "ends of chunk lines",
            &format!("{end} after a size"),
            &format!("3{end}abc\r\n0\r\n\r\n{SMUGGLED}"),
            broken(400),
        );
        add(
            "ends of chunk lines",
            &format!("{end} after data"),
            &format!("3\r\nabc{end}0\r\n\r\n{SMUGGLED}"),
            broken(400),
        );
        add(
            "ends of chunk lines",
            &format!("{end} after a trailer"),
            &format!("3\r\nabc\r\n0\r\nX-Sum: 1{end}\r\n{SMUGGLED}"),
            broken(400),
        );
    }
    for last in LAST {
        add("last chunks", last, &format!("3\r\nabc\r\n{last}"), forwarded("abc"));
    }
    for last in NO_LAST {
        add("last chunks", last, &format!("3\r\nabc\r\n{last}{SMUGGLED}"), broken(400));
    }
    for trailer in TRAILERS {
        add("trailers", trailer, &format!("3\r\nabc\r\n0\r\n{trailer}\r\n\r\n"), forwarded("abc"));
    }
    for trailer in NO_TRAILERS {
        add("trailers", trailer, &format!("3\r\nabc\r\n0\r\n{trailer}\r\n\r\n{SMUGGLED}"), broken(400));
    }
    add("trailers", "a flood", &format!("0\r\n{}\r\n", "X-S: 1\r\n".repeat(101)), broken(400));
    add("trailers", "a huge one", &format!("0\r\nX-S: {}\r\n\r\n", "a".repeat(70_000)), broken(400));
    add("trailers", "an endless one", &format!("0\r\n{}", "a".repeat(70_000)), broken(400));
    add("chunk sizes", "one too small", "2\r\nabc\r\n0\r\n\r\n", broken(400));
    add("chunk sizes", "one too large", "4\r\nabc\r\n0\r\n\r\n", broken(400));
    add("chunk sizes", "an endless extension", &format!("3;{}\r\nabc\r\n0\r\n\r\n", "a".repeat(70_000)), broken(400));
    add(
        "chunk sizes",
        "small extensions without end",
        &format!("{}0\r\n\r\n", "1;aaaaaaaa\r\na\r\n".repeat(2000)),
        broken(400),
    );
    add("chunk sizes", "endless zeros", &"0".repeat(70_000), broken(400));
    add("chunk sizes", "something behind the last", "0\r\n\r\nGARBAGE\r\n\r\n", forwarded("").then(400));
    cases
}
