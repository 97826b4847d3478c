//! `Content-Length`: each spelling for a POST and for a GET, of which some readers expect no body; names that are nearly
//! its name; and two of them.

use super::{Case, SMUGGLED, case, forwarded, get, post, refused};
use crate::conformance::setup::shown;

/// Ways to write the length of `abc`.
const GOOD: [&str; 8] = ["3", "  3", "\t3", "3 ", "3\t ", "03", "0000003", "000000000000000003"];

/// What is no length.
const BAD: [&str; 48] = [
    "",
    "+3",
    "-3",
    "-0",
    "0x3",
    "0X3",
    "3h",
    "0b11",
    "0o3",
    "3,",
    ",3",
    "3,3",
    "3, 3",
    "3, 4",
    "3;",
    "3;3",
    "3 3",
    "3\t3",
    "3.0",
    "3.",
    ".3",
    "3e0",
    "3_0",
    "3'",
    "'3'",
    "\"3\"",
    "3%",
    "%33",
    "3\x0b",
    "\x0c3",
    "\x0b3",
    "3\0",
    "\x003",
    "\u{a0}3",
    "3\u{a0}",
    "３",
    "٣",
    "three",
    "abc",
    "NaN",
    "inf",
    "3\r",
    "0000000000000000003",
    "1000000000000000000",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551619",
    "340282366920938463463374607431768211459",
];

/// Lengths that are read, and are over `limits.request_body`: 2^32 + 3 is 3 to a reader of 32 bits.
const TOO_LARGE: [&str; 3] = ["4294967299", "2147483648", "999999999999999999"];

/// Names that are nearly `Content-Length`. None of them announces a body, and most are refused.
const NEARLY: [&str; 13] = [
    "Content-Length ",
    "Content-Length\t",
    " Content-Length",
    "\tContent-Length",
    "Content Length",
    "Content-Length\0",
    "Content\0-Length",
    "Content-Length\x0b",
    "\x0bContent-Length",
    "Content-Length\r",
    "Content-Length\u{a0}",
    "Content−Length",
    "Content-Lеngth",
];

const OTHER: [&str; 5] = ["Content_Length", "X-Content-Length", "Content-Lengths", "ContentLength", "Content-Length-"];

/// Two lines, of which at least one says 3.
const PAIRS: [(&str, &str); 14] = [
    ("Content-Length: 3", "Content-Length: 3"),
    ("Content-Length: 3", "content-length: 3"),
    ("Content-Length: 3", "Content-Length: 03"),
    ("Content-Length: 3", "Content-Length: 0"),
    ("Content-Length: 0", "Content-Length: 3"),
    ("Content-Length: 3", "Content-Length: 4"),
    ("Content-Length: 4", "Content-Length: 3"),
    ("Content-Length: 3", "Content-Length:"),
    ("Content-Length: 3", "Content-Length: x"),
    ("Content-Length: 3", "Content-Length : 3"),
    ("Content-Length: 3", " Content-Length: 4"),
    ("Content-Length: 3", "X: y\nContent-Length: 4"),
    ("Content-Length: 3", "X: y\rContent-Length: 4"),
    ("Content-Length: 3\r\nX: y", "Content-Length: 3"),
];

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (method, request) in [("POST", post as fn(&str, &str) -> String), ("GET", get_with)] {
        let name = |text: &str| format!("{method}, {}", shown(text));
        let said = |value: &str, body: &str| request(&format!("Content-Length: {value}\r\n"), body);
        let behind = format!("abc{SMUGGLED}");
        cases.extend(GOOD.map(|value| case("lengths", name(value), &said(value, "abc"), forwarded("abc"))));
        cases.extend(BAD.map(|value| case("lengths", name(value), &said(value, &behind), refused(400))));
        cases.extend(TOO_LARGE.map(|value| case("lengths", name(value), &said(value, &behind), refused(413))));
    }
    cases.extend(NEARLY.map(|name| {
        let text = post(&format!("{name}: 3\r\n"), &format!("abc{SMUGGLED}"));
        case("names of lengths", shown(name), &text, refused(400))
    }));
    cases.extend(OTHER.map(|name| {
        let text = post(&format!("{name}: 3\r\n"), "abc\r\n\r\n");
        case("names of lengths", shown(name), &text, forwarded("").then(400))
    }));
    cases.extend(
        ["CONTENT-LENGTH", "content-length", "cOnTeNt-LeNgTh"]
            .map(|name| case("names of lengths", name, &post(&format!("{name}: 3\r\n"), "abc"), forwarded("abc"))),
    );
    cases.extend(PAIRS.map(|(one, two)| {
        let text = post(&format!("{one}\r\n{two}\r\n"), &format!("abc{SMUGGLED}"));
        case("two lengths", format!("{} / {}", shown(one), shown(two)), &text, refused(400))
    }));
    cases.extend([
        case("lengths", "folded", &post("Content-Length:\r\n 3\r\n", "abc"), refused(400)),
        case("lengths", "folded in the number", &post("Content-Length: 3\r\n 0\r\n", "abc"), refused(400)),
        case(
            "lengths",
            "more than was said",
            &post("Content-Length: 3\r\n", "abcGARBAGE\r\n\r\n"),
            forwarded("abc").then(400),
        ),
        case("lengths", "none, and a body all the same", &post("", "abc\r\n\r\n"), forwarded("").then(400)),
        case("lengths", "nothing, said", &post("Content-Length: 0\r\n", ""), forwarded("")),
    ]);
    cases
}

fn get_with(fields: &str, body: &str) -> String {
    get(fields) + body
}
