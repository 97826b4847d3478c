//! Several requests on one connection: each ends where its own framing says, and none that follows a fault is read.

use super::{Case, SMUGGLED, case, chunked, get, head, post, refused, several};

pub(super) fn cases() -> Vec<Case> {
    let get = || get("");
    let three = || post("Content-Length: 3\r\n", "abc");
    let chunks = || chunked("3\r\nabc\r\n0\r\n\r\n");
    let one = |name: &str, text: String, fate| case("pipelines", name, &text, fate);
    let bad = "GET /x HTTP/1.1\nHost: localhost\r\n\r\n";
    vec![
        one("two", get() + &get(), several(&["", ""])),
        one("ten", get().repeat(10), several(&[""; 10])),
        one("fifty with bodies", three().repeat(50), several(&["abc"; 50])),
        one("a body between two", get() + &three() + &get(), several(&["", "abc", ""])),
        one("chunks between two", get() + &chunks() + &get(), several(&["", "abc", ""])),
        one(
            "chunks with trailers between two",
            get() + &chunked("3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n") + &get(),
            several(&["", "abc", ""]),
        ),
        one(
            "a body that looks like a request",
            post(&format!("Content-Length: {}\r\n", SMUGGLED.len()), SMUGGLED) + &get(),
            several(&[SMUGGLED, ""]),
        ),
        one(
            "a chunk that looks like a request",
            chunked(&format!("{:x}\r\n{SMUGGLED}\r\n0\r\n\r\n", SMUGGLED.len())) + &get(),
            several(&[SMUGGLED, ""]),
        ),
        one("a body of CRLF", post("Content-Length: 4\r\n", "\r\n\r\n") + &get(), several(&["\r\n\r\n", ""])),
        one(
            "a body of the end of chunks",
            post("Content-Length: 5\r\n", "0\r\n\r\n") + &get(),
            several(&["0\r\n\r\n", ""]),
        ),
        one("an empty line between two", get() + "\r\n" + &get(), several(&["", ""])),
        one("two empty lines between two", get() + "\r\n\r\n" + &get(), several(&[""]).then(400)),
        one("the second is malformed", get() + bad + SMUGGLED, several(&[""]).then(400)),
        one("the first is malformed", bad.to_owned() + &get() + SMUGGLED, refused(400)),
        one("the last of ten is malformed", get().repeat(9) + bad + SMUGGLED, several(&[""; 9]).then(400)),
        one("the first ends the connection", super::get("Connection: close\r\n") + SMUGGLED, several(&[""])),
        one(
            "the second ends the connection",
            get() + &super::get("Connection: close\r\n") + SMUGGLED,
            several(&["", ""]),
        ),
        one(
            "the second has two lengths",
            get() + &post("Content-Length: 3\r\nContent-Length: 4\r\n", "abc") + SMUGGLED,
            several(&[""]).then(400),
        ),
        one(
            "the second has a length and a coding",
            get() + &post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "abc") + SMUGGLED,
            several(&[""]).then(400),
        ),
        one(
            "the second has no Host",
            get() + &get().replace("Host: localhost\r\n", "") + SMUGGLED,
            several(&[""]).then(400),
        ),
        // ET is a method like any other.
        one("a body one byte short", post("Content-Length: 4\r\n", "abc") + &get(), several(&["abcG", ""])),
        one("a body one byte long", post("Content-Length: 2\r\n", "ab@") + &get(), several(&["ab"]).then(400)),
        one("a HEAD before a GET", head(&format!("HEAD {} HTTP/1.1", super::TARGET), "") + &get(), several(&["", ""])),
        one(
            "a HEAD with a body before a GET",
            head(&format!("HEAD {} HTTP/1.1", super::TARGET), "Content-Length: 3\r\n") + "abc" + &get(),
            several(&["abc", ""]),
        ),
        one(
            "a DELETE with chunks before a GET",
            head(&format!("DELETE {} HTTP/1.1", super::TARGET), "Transfer-Encoding: chunked\r\n")
                + "3\r\nabc\r\n0\r\n\r\n"
                + &get(),
            several(&["abc", ""]),
        ),
    ]
}
