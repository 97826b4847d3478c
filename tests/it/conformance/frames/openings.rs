//! How a connection begins, and what is said about all of it: preface, SETTINGS, PING, GOAWAY, frames of unknown types.

use super::{
    Case, Closed, Code, Given, Goaway, Pong, Status, Step, Text, case, get, post, steps,
    wire::{
        ACK, CONTINUATION, DATA, END_STREAM, GOAWAY, HEADERS, PING, PREFACE, PRIORITY, PUSH_PROMISE, RST_STREAM,
        SETTINGS, WINDOW_UPDATE, frame, settings, window_update,
    },
};

pub(super) fn cases() -> Vec<Case> {
    [prefaces(), of_settings(), pings(), goaways(), unknown()].into_iter().flatten().collect()
}

fn prefaces() -> Vec<Case> {
    let bare = |name: &str, bytes: Vec<u8>, event| steps("openings", name, vec![Step::Send(bytes), Step::Hear(event)]);
    let refused = || Text("HTTP/1.1 400");
    vec![
        bare("SETTINGS without a preface", settings(&[]), refused()),
        bare("a request without a preface", get(1), refused()),
        bare("another word in the preface", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec(), refused()),
        bare("the preface of HTTP/2.1", b"PRI * HTTP/2.1\r\n\r\nSM\r\n\r\n".to_vec(), refused()),
        bare("the preface in lower case", PREFACE.to_ascii_lowercase(), refused()),
        bare("the preface with LF", b"PRI * HTTP/2.0\n\nSM\n\n".to_vec(), refused()),
        steps(
            "openings",
            "half a preface and the end",
            vec![Step::Send(PREFACE[..20].to_vec()), Step::HangUp, Step::Hear(refused())],
        ),
        steps(
            "openings",
            "a preface and the end",
            vec![Step::Send(PREFACE.to_vec()), Step::HangUp, Step::Hear(Closed)],
        ),
        bare("a preface and silence", PREFACE.to_vec(), Closed),
        bare("the preface twice", [PREFACE, PREFACE].concat(), Goaway(Code::FrameSize)),
        bare(
            "a preface and HTTP/1.1",
            [PREFACE, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"].concat(),
            Goaway(Code::FrameSize),
        ),
        bare("a preface and zeros", [PREFACE, &[0; 64]].concat(), Goaway(Code::Protocol)),
    ]
}

fn of_settings() -> Vec<Case> {
    let one = |name: &str, bytes: Vec<u8>, code| case("SETTINGS", name, bytes, Given(code));
    let fine =
        |name: &str, bytes: Vec<u8>| case("SETTINGS", name, [bytes, get(1)].concat(), Status(1, 200)).forwards(1);
    vec![
        one("of five bytes", frame(SETTINGS, 0, 0, &[0; 5]), Code::FrameSize),
        one("of seven bytes", frame(SETTINGS, 0, 0, &[0; 7]), Code::FrameSize),
        one("on a stream", frame(SETTINGS, 0, 1, &[]), Code::Protocol),
        one("acknowledged with a payload", frame(SETTINGS, ACK, 0, &[0; 6]), Code::FrameSize),
        one("push that is neither on nor off", settings(&[(2, 2)]), Code::Protocol),
        one("a window of 2^31", settings(&[(4, 1 << 31)]), Code::FlowControl),
        one("frames of 16,383 bytes", settings(&[(5, 16_383)]), Code::Protocol),
        one("frames of 2^24 bytes", settings(&[(5, 1 << 24)]), Code::Protocol),
        one("extended CONNECT that is neither on nor off", settings(&[(8, 2)]), Code::Protocol),
        fine("none", settings(&[])),
        fine("an unknown one", settings(&[(0xabcd, 7)])),
        fine("the same thrice", settings(&[(3, 1), (3, 2), (3, 3)])),
        fine("no streams of the server's", settings(&[(3, 0)])),
        fine("answers of no fields", settings(&[(6, 0)])),
        fine("frames of 2^24 - 1 bytes", settings(&[(5, (1 << 24) - 1)])),
        fine("the largest window", settings(&[(4, (1 << 31) - 1)])),
        // RFC 9113 section 6.9.2: a change of the setting may not take a window past its largest size either.
        case(
            "SETTINGS",
            "a window that grows past 2^31",
            [frame_of_waiting(1), window_update(1, (1 << 31) - 65_536), settings(&[(4, 70_000)])].concat(),
            Goaway(Code::FlowControl),
        )
        .begins(1),
    ]
}

/// A request whose answer waits.
pub(super) fn frame_of_waiting(stream: u32) -> Vec<u8> {
    super::headers(END_STREAM, stream, &super::block(&super::with("x-wait", "yes")))
}

fn pings() -> Vec<Case> {
    let one = |name: &str, bytes: Vec<u8>, code| case("PING", name, bytes, Given(code));
    vec![
        one("of seven bytes", frame(PING, 0, 0, &[0; 7]), Code::FrameSize),
        one("of nine bytes", frame(PING, 0, 0, &[0; 9]), Code::FrameSize),
        one("of nothing", frame(PING, 0, 0, &[]), Code::FrameSize),
        one("on a stream", frame(PING, 0, 1, &[0; 8]), Code::Protocol),
        case("PING", "a good one", frame(PING, 0, 0, b"abcdefgh"), Pong),
        case(
            "PING",
            "an answer that nobody asked for",
            [frame(PING, ACK, 0, b"abcdefgh"), get(1)].concat(),
            Status(1, 200),
        )
        .forwards(1),
        case("PING", "unknown flags", frame(PING, 0xfe, 0, b"abcdefgh"), Pong),
    ]
}

fn goaways() -> Vec<Case> {
    let one = |name: &str, bytes: Vec<u8>, code| case("GOAWAY", name, bytes, Given(code));
    let goaway = |last: u32, code: u32| frame(GOAWAY, 0, 0, &[last.to_be_bytes(), code.to_be_bytes()].concat());
    vec![
        one("on a stream", frame(GOAWAY, 0, 1, &[0; 8]), Code::Protocol),
        one("of seven bytes", frame(GOAWAY, 0, 0, &[0; 7]), Code::FrameSize),
        case("GOAWAY", "behind a request", [get(1), goaway(0, 0)].concat(), Status(1, 200)).forwards(1).over(),
        case("GOAWAY", "with an error, behind a request", [get(1), goaway(0, 2)].concat(), Closed).begins(1),
        case("GOAWAY", "twice, the second naming more streams", [goaway(1, 0), goaway(3, 0)].concat(), Closed),
    ]
}

/// RFC 9113 section 4.1: what is unknown is ignored, but not in the midst of a header section.
fn unknown() -> Vec<Case> {
    let fine =
        |name: &str, bytes: Vec<u8>| case("unknown frames", name, [bytes, get(1)].concat(), Status(1, 200)).forwards(1);
    vec![
        fine("on the connection", frame(0xff, 0xff, 0, b"whatever")),
        fine("on an idle stream", frame(0xee, 0, 77, b"whatever")),
        fine("of 16,384 bytes", frame(0x20, 0, 0, &[0; 16_384])),
        fine("ALTSVC", frame(0x0a, 0, 0, b"\0\0h2=\":1\"")),
        fine("ORIGIN", frame(0x0c, 0, 0, b"\0\x01x")),
        fine("PRIORITY_UPDATE", frame(0x10, 0, 0, b"\0\0\0\x01u=1")),
        case("unknown frames", "of 16,385 bytes", frame(0xff, 0, 0, &[0; 16_385]), Goaway(Code::FrameSize)),
        case(
            "unknown frames",
            "within a header section",
            [frame(HEADERS, END_STREAM, 1, &[0x82]), frame(0xff, 0, 0, b"x")].concat(),
            Goaway(Code::Protocol),
        ),
        case(
            "unknown frames",
            "a push of the client's",
            [get(1), frame(PUSH_PROMISE, 4, 1, &[0, 0, 0, 2, 0x82])].concat(),
            Goaway(Code::Protocol),
        )
        .begins(1),
        case(
            "unknown frames",
            "flags that mean nothing",
            [frame(PRIORITY, 0xff, 1, &[0, 0, 0, 0, 1]), frame(WINDOW_UPDATE, 0xff, 0, &[0, 0, 0, 1]), get(1)].concat(),
            Status(1, 200),
        )
        .forwards(1),
        case("unknown frames", "CONTINUATION of nothing", frame(CONTINUATION, 4, 1, &[0x82]), Goaway(Code::Protocol)),
        case("unknown frames", "RST_STREAM of nothing", frame(RST_STREAM, 0, 1, &[0; 4]), Goaway(Code::Protocol)),
        case("unknown frames", "DATA of nothing", frame(DATA, 0, 1, b"abc"), Goaway(Code::Protocol)),
        case(
            "unknown frames",
            "a body behind GOAWAY",
            [post(1), frame(GOAWAY, 0, 0, &[0; 8]), frame(DATA, END_STREAM, 1, b"abc")].concat(),
            Status(1, 200),
        )
        .forwards(1)
        .over(),
    ]
}
