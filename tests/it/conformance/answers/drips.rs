//! Answers that come a byte at a time, and answers that stop coming.

use super::{Case, Invalid, Late, Next, Said, case, chunked, cut, good, passed};

pub(super) fn cases() -> Vec<Case> {
    let dripped = |name: &str, text: String, outcome, next| case("drips", name, Said::Dripped(text), outcome, next);
    let stalled =
        |name: &str, text: &str, outcome| case("stalls", name, Said::Stalled(text.to_owned()), outcome, Next::Another);
    let chunks = chunked("3;x=1\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n");
    let whole_chunk = &chunks[..chunks.len() - "0\r\nX-Sum: 1\r\n\r\n".len()];
    vec![
        dripped("a length", good(), passed(200, "abc"), Next::Same),
        dripped("chunks with a trailer", chunks.clone(), passed(200, "abc"), Next::Same),
        dripped(
            "an interim answer first",
            format!("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n{}", good()),
            passed(200, "abc"),
            Next::Same,
        ),
        dripped("a field that is folded", good().replace("Content", "X: 1\r\n 2\r\nContent"), Invalid, Next::Another),
        dripped("a chunk that is too long", chunked("3\r\nabcd\r\n0\r\n\r\n"), cut("abc"), Next::Another),
        stalled("nothing", "", Late),
        stalled("half a status line", "HTTP/1.1 20", Late),
        stalled("half a field", "HTTP/1.1 200 OK\r\nContent-Le", Late),
        stalled("no end of the head", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", Late),
        stalled("an interim answer", "HTTP/1.1 103 Early Hints\r\n\r\n", Late),
        stalled("no body", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", cut("")),
        stalled("half a body", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab", cut("ab")),
        stalled("no first chunk", &chunked(""), cut("")),
        stalled("half a chunk", &chunked("3\r\nab"), cut("ab")),
        stalled("no end of the chunks", whole_chunk, cut("abc")),
        stalled("no end of the trailers", &chunks[..chunks.len() - 2], cut("abc")),
        stalled("no end of the connection", "HTTP/1.1 200 OK\r\n\r\nabc", cut("abc")),
    ]
}
