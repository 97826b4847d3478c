//! More than one answer to one request, in one segment and in two; and answers to what has not been read yet. The next
//! request on the connection would be another tenant's.

use super::{Asked, Case, Next, Outcome, Said, case, chunked, good, ok, passed, whole};

/// What may stand behind an answer.
const BEHIND: [(&str, &str); 9] = [
    ("an answer", "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged"),
    ("an answer with chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nforged\r\n0\r\n\r\n"),
    ("204", "HTTP/1.1 204 No Content\r\n\r\n"),
    ("an interim answer", "HTTP/1.1 103 Early Hints\r\n\r\n"),
    ("101", "HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    ("half an answer", "HTTP/1.1 200 OK\r\nContent-Le"),
    ("a letter", "H"),
    ("NUL", "\0"),
    ("a request", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
];

pub(super) fn cases() -> Vec<Case> {
    let firsts = [
        ("a length", Asked::Get, good(), passed(200, "abc")),
        ("chunks", Asked::Get, chunked("3\r\nabc\r\n0\r\n\r\n"), passed(200, "abc")),
        ("no body", Asked::Get, "HTTP/1.1 204 No Content\r\n\r\n".to_owned(), passed(204, "")),
        ("a HEAD's", Asked::Head, ok("Content-Length: 3\r\n", ""), passed(200, "")),
    ];
    let mut cases = Vec::new();
    for (first, asked, answer, outcome) in firsts {
        for (second, behind) in BEHIND {
            let mut add = |place: &str, said| {
                let name = format!("{second} behind {first}, {place}");
                cases.push(case("second answers", name, said, outcome.clone(), Next::Another).to(asked));
            };
            add("in one segment", whole(format!("{answer}{behind}")));
            add("in another", Said::Twice(answer.clone(), behind.to_owned()));
        }
    }
    let one = |name: &str, said, outcome: Outcome, next| case("second answers", name, said, outcome, next);
    cases.push(one("an empty line behind a length", whole(good() + "\r\n"), passed(200, "abc"), Next::Either));
    cases.push(one("an empty line later", Said::Twice(good(), "\r\n".into()), passed(200, "abc"), Next::Either));
    cases.push(one("three answers", whole(good().repeat(3)), passed(200, "abc"), Next::Another));
    let early = |name: &str, text: String, outcome| {
        case("early answers", name, whole(text), outcome, Next::Another).to(Asked::Uploading)
    };
    cases.extend([
        early("200", good(), passed(200, "abc")),
        early("200 and the end", ok("Connection: close\r\nContent-Length: 3\r\n", "abc"), passed(200, "abc")),
        early("403", good().replace("200 OK", "403 Forbidden"), passed(403, "abc")),
        early(
            "413 with chunks",
            chunked("3\r\nabc\r\n0\r\n\r\n").replace("200 OK", "413 Too Large"),
            passed(413, "abc"),
        ),
        early("204", "HTTP/1.1 204 No Content\r\n\r\n".into(), passed(204, "")),
        early("100 and 200", format!("HTTP/1.1 100 Continue\r\n\r\n{}", good()), passed(200, "abc")),
        early("two", good() + &good(), passed(200, "abc")),
    ]);
    cases
}
