//! Interim answers: they end at the sidecar, and nothing of them is taken for the answer.

use super::{Asked, Case, Invalid, Next, case, closed, good, passed, whole};

pub(super) fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |name: &str, before: &str, after: &str, outcome, next| {
        cases.push(case("interim answers", name, whole(format!("{before}{after}")), outcome, next));
    };
    let (ok, same) = (passed(200, "abc"), Next::Same);
    for (status, reason) in [
        (100, "Continue"),
        (102, "Processing"),
        (103, "Early Hints"),
        (104, "Upload Resumption Supported"),
        (110, ""),
        (150, "Whatever"),
        (199, ""),
    ] {
        add(&format!("{status}"), &format!("HTTP/1.1 {status} {reason}\r\n\r\n"), &good(), ok.clone(), same);
    }
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\nSet-Cookie: a=b\r\n\r\n";
    add("hints with a cookie", hints, &good(), ok.clone(), same);
    add("three", &hints.repeat(3), &good(), ok.clone(), same);
    add(
        "of every kind",
        &format!("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n{hints}"),
        &good(),
        ok.clone(),
        same,
    );
    add("a hundred", &hints.repeat(100), &good(), ok.clone(), same);
    add("ahead of 204", hints, "HTTP/1.1 204 No Content\r\n\r\n", passed(204, ""), same);
    add(
        "that announces a body and has none",
        "HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\n",
        &good(),
        ok.clone(),
        same,
    );
    add("that has a body", "HTTP/1.1 103 Early Hints\r\nContent-Length: 3\r\n\r\nabc", &good(), Invalid, Next::Another);
    add(
        "that announces chunks",
        "HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n",
        &good(),
        ok.clone(),
        same,
    );
    add(
        "that has chunks",
        "HTTP/1.1 100 Continue\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        &good(),
        Invalid,
        Next::Another,
    );
    add("of HTTP/1.0", "HTTP/1.0 100 Continue\r\n\r\n", &good(), ok.clone(), Next::Either);
    add(
        "with a field over the limit",
        &format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "a".repeat(70_000)),
        &good(),
        Invalid,
        Next::Another,
    );
    add("ahead of what is no answer", hints, "garbage\r\n\r\n", Invalid, Next::Another);
    add("101 that nobody asked for", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "", Invalid, Next::Another);
    add(
        "101 to h2c",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
        &good(),
        Invalid,
        Next::Another,
    );
    add(
        "101 to a WebSocket",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\u{81}\x03abc",
        "",
        Invalid,
        Next::Another,
    );
    add(
        "101 behind 100",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 Switching Protocols\r\n\r\n",
        &good(),
        Invalid,
        Next::Another,
    );
    add("101 ahead of an answer", "HTTP/1.1 101 Switching Protocols\r\n\r\n", &good(), Invalid, Next::Another);
    for (name, text) in [
        ("100 and the end", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("103 and the end", hints),
        ("half of 100 and the end", "HTTP/1.1 100 Cont"),
    ] {
        cases.push(case("interim answers", name, closed(text), Invalid, Next::Another));
    }
    cases.push(
        case(
            "interim answers",
            "100 to a body that was not held back",
            whole(format!("HTTP/1.1 100 Continue\r\n\r\n{}", good())),
            ok,
            same,
        )
        .to(Asked::Post),
    );
    cases
}
