//! Streams: their numbers and states, flow control, resets, priorities.

use super::{
    Case, Closed, Code, End, Event, Given, Goaway, Reset, Status, Step, case, get,
    openings::frame_of_waiting,
    post, steps,
    wire::{
        CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PADDED, PRIORITISED, PRIORITY, RST_STREAM, WINDOW_UPDATE,
        block, frame, headers, opening, reset, settings, window_update,
    },
};

pub(super) fn cases() -> Vec<Case> {
    [numbers(), states(), windows(), resets(), priorities(), sizes()].into_iter().flatten().collect()
}

fn numbers() -> Vec<Case> {
    let one = |name: &str, bytes: Vec<u8>, code| case("numbers of streams", name, bytes, Goaway(code));
    vec![
        one("zero", get(0), Code::Protocol),
        one("even", get(2), Code::Protocol),
        one("smaller than the one before", [get(5), get(3)].concat(), Code::Protocol).begins(2),
        case("numbers of streams", "the largest", get(0x7fff_ffff), Status(0x7fff_ffff, 200)).forwards(1).over(),
        case("numbers of streams", "with the reserved bit", get(0x8000_0001), Status(1, 200)).forwards(1),
        case("numbers of streams", "with a gap", get(0x1001), Status(0x1001, 200)).forwards(1),
    ]
}

fn states() -> Vec<Case> {
    let body = |flags| frame(DATA, flags, 1, b"abc");
    let after_end = |name: &str, bytes: Vec<u8>, event| {
        let first =
            vec![Step::Send([opening(), get(1)].concat()), Step::Hear(End(1)), Step::Send(bytes), Step::Hear(event)];
        steps("states of streams", name, first).forwards(1)
    };
    // RFC 9113 section 5.1 would have the stream reset; h2 gives the connection up, as section 5.4.1 lets it.
    let closed = || Event::Any(vec![Reset(1, Code::StreamClosed), Given(Code::StreamClosed)]);
    vec![
        case("states of streams", "a body", [post(1), body(END_STREAM)].concat(), Status(1, 200)).forwards(1),
        case("states of streams", "a body on stream 0", frame(DATA, 0, 0, b"abc"), Goaway(Code::Protocol)),
        case(
            "states of streams",
            "a body on an idle stream",
            [get(1), frame(DATA, 0, 3, b"abc")].concat(),
            Goaway(Code::Protocol),
        )
        .begins(1),
        case("states of streams", "a body behind the end", [frame_of_waiting(1), body(0)].concat(), closed()).begins(1),
        case("states of streams", "a second head behind the end", [frame_of_waiting(1), get(1)].concat(), closed())
            .begins(1),
        after_end("a body behind the answer", body(0), closed()),
        after_end("a head behind the answer", get(1), closed()),
        after_end("a window behind the answer", [window_update(1, 1), get(3)].concat(), Status(3, 200)).forwards(2),
        after_end("a reset behind the answer", [reset(1), get(3)].concat(), Status(3, 200)).forwards(2),
        after_end(
            "a priority behind the answer",
            [frame(PRIORITY, 0, 1, &[0, 0, 0, 0, 1]), get(3)].concat(),
            Status(3, 200),
        )
        .forwards(2),
        case(
            "states of streams",
            "trailers that do not end",
            [post(1), headers(0, 1, &block(&[("x-sum", "1")]))].concat(),
            Reset(1, Code::Protocol),
        )
        .begins(1),
        // Malformed by RFC 9113 section 8.1, and taken by h2 for trailers, without the pseudo-fields.
        case("states of streams", "a head in the midst of a body", [post(1), body(0), get(1)].concat(), Status(1, 200))
            .forwards(1),
        steps(
            "states of streams",
            "half a head and silence",
            vec![Step::Send([opening(), frame(HEADERS, END_STREAM, 1, &[0x82])].concat()), Step::Hear(Closed)],
        ),
    ]
}

fn windows() -> Vec<Case> {
    let one = |name: &str, bytes: Vec<u8>, code| case("windows", name, bytes, Given(code));
    let raw = |stream: u32, payload: &[u8]| frame(WINDOW_UPDATE, 0, stream, payload);
    let largest = (1 << 31) - 1;
    vec![
        one("the connection's by nothing", window_update(0, 0), Code::Protocol),
        one("the connection's past 2^31", window_update(0, largest), Code::FlowControl),
        one("an idle stream's", window_update(1, 1), Code::Protocol),
        one("by three bytes", raw(0, &[0; 3]), Code::FrameSize),
        one("by five bytes", raw(0, &[0; 5]), Code::FrameSize),
        case(
            "windows",
            "a stream's by nothing",
            [frame_of_waiting(1), window_update(1, 0)].concat(),
            Event::Any(vec![Reset(1, Code::Protocol), Goaway(Code::Protocol)]),
        )
        .begins(1),
        case(
            "windows",
            "a stream's past 2^31",
            [frame_of_waiting(1), window_update(1, largest)].concat(),
            Reset(1, Code::FlowControl),
        )
        .begins(1),
        case("windows", "with the reserved bit", [raw(0, &[0x80, 0, 0, 1]), get(1)].concat(), Status(1, 200))
            .forwards(1),
        steps(
            "windows",
            "none at first, and a byte at a time",
            vec![
                Step::Send([opening(), settings(&[(4, 0)]), get(1)].concat()),
                Step::Hear(Status(1, 200)),
                Step::Send(window_update(1, 1)),
                Step::Hear(Event::Data(1, 1)),
                Step::Send(window_update(1, 1)),
                Step::Hear(End(1)),
            ],
        )
        .forwards(1),
        steps(
            "windows",
            "less than none",
            vec![
                Step::Send([opening(), settings(&[(4, 1)]), get(1)].concat()),
                Step::Hear(Event::Data(1, 1)),
                Step::Send([settings(&[(4, 0)]), window_update(1, 1), window_update(1, 1)].concat()),
                Step::Hear(End(1)),
            ],
        )
        .forwards(1),
    ]
}

fn resets() -> Vec<Case> {
    let one = |name: &str, bytes: Vec<u8>, code| case("RST_STREAM", name, bytes, Given(code));
    vec![
        one("of stream 0", reset(0), Code::Protocol),
        one("of an idle stream", reset(1), Code::Protocol),
        one("of three bytes", [get(1), frame(RST_STREAM, 0, 1, &[0; 3])].concat(), Code::FrameSize).begins(1),
        one("of five bytes", [get(1), frame(RST_STREAM, 0, 1, &[0; 5])].concat(), Code::FrameSize).begins(1),
        case(
            "RST_STREAM",
            "in the midst of a body",
            [post(1), frame(DATA, 0, 1, b"abc"), reset(1), get(3)].concat(),
            Status(3, 200),
        )
        .forwards(1)
        .begins(1),
        case("RST_STREAM", "twice", [post(1), reset(1), reset(1), get(3)].concat(), Status(3, 200))
            .forwards(1)
            .begins(1),
        case(
            "RST_STREAM",
            "and a body behind it",
            [post(1), reset(1), frame(DATA, END_STREAM, 1, b"abc")].concat(),
            Reset(1, Code::StreamClosed),
        )
        .begins(1),
    ]
}

fn priorities() -> Vec<Case> {
    let raw = |stream: u32, payload: &[u8]| frame(PRIORITY, 0, stream, payload);
    let depends = |on: u8| [&[0, 0, 0, on, 1][..], &block(&super::good())].concat();
    vec![
        case("PRIORITY", "on stream 0", raw(0, &[0, 0, 0, 1, 1]), Goaway(Code::Protocol)),
        case(
            "PRIORITY",
            "of four bytes",
            [raw(3, &[0; 4]), get(5)].concat(),
            Event::Any(vec![Reset(3, Code::FrameSize), Given(Code::FrameSize)]),
        )
        .begins(1)
        .over(),
        case(
            "PRIORITY",
            "of itself",
            [raw(1, &[0, 0, 0, 1, 1]), get(3)].concat(),
            Event::Any(vec![Status(3, 200), Goaway(Code::Protocol)]),
        )
        .begins(1)
        .over(),
        case("PRIORITY", "of an idle stream", [raw(9, &[0, 0, 0, 7, 1]), get(1)].concat(), Status(1, 200)).forwards(1),
        case(
            "PRIORITY",
            "in a circle",
            [raw(1, &[0, 0, 0, 3, 1]), raw(3, &[0, 0, 0, 1, 1]), get(1)].concat(),
            Status(1, 200),
        )
        .forwards(1),
        case(
            "PRIORITY",
            "in a head",
            frame(HEADERS, END_HEADERS | END_STREAM | PRIORITISED, 1, &depends(0)),
            Status(1, 200),
        )
        .forwards(1),
        case(
            "PRIORITY",
            "in a head, of itself",
            frame(HEADERS, END_HEADERS | END_STREAM | PRIORITISED, 1, &depends(1)),
            Reset(1, Code::Protocol),
        ),
        case(
            "PRIORITY",
            "in a head that is too short for it",
            frame(HEADERS, END_HEADERS | END_STREAM | PRIORITISED, 1, &[0; 3]),
            Event::Any(vec![Goaway(Code::FrameSize), Goaway(Code::Protocol)]),
        ),
    ]
}

fn sizes() -> Vec<Case> {
    let padded = |padding: u8, rest: &[u8]| [&[padding][..], rest].concat();
    let whole = [block(&super::good()), vec![0; 4]].concat();
    vec![
        case(
            "sizes of frames",
            "DATA of 16,385 bytes",
            [post(1), frame(DATA, END_STREAM, 1, &[b'a'; 16_385])].concat(),
            Goaway(Code::FrameSize),
        )
        .begins(1),
        case(
            "sizes of frames",
            "DATA of 16,384 bytes",
            [post(1), frame(DATA, END_STREAM, 1, &[b'a'; 16_384])].concat(),
            Status(1, 200),
        )
        .forwards(1),
        case(
            "sizes of frames",
            "HEADERS of 16,385 bytes",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0; 16_385]),
            Goaway(Code::FrameSize),
        ),
        case(
            "sizes of frames",
            "CONTINUATION of 16,385 bytes",
            [frame(HEADERS, END_STREAM, 1, &[]), frame(CONTINUATION, END_HEADERS, 1, &[0; 16_385])].concat(),
            Goaway(Code::FrameSize),
        ),
        case(
            "sizes of frames",
            "DATA with padding",
            [post(1), frame(DATA, END_STREAM | PADDED, 1, &padded(3, b"abc\0\0\0"))].concat(),
            Status(1, 200),
        )
        .forwards(1),
        case(
            "sizes of frames",
            "DATA of nothing but padding",
            [post(1), frame(DATA, END_STREAM | PADDED, 1, &padded(5, &[0; 5]))].concat(),
            Status(1, 200),
        )
        .forwards(1),
        case(
            "sizes of frames",
            "DATA with more padding than there is",
            [post(1), frame(DATA, END_STREAM | PADDED, 1, &padded(4, b"abc"))].concat(),
            Goaway(Code::Protocol),
        )
        .begins(1),
        case(
            "sizes of frames",
            "DATA that is padded and empty",
            [post(1), frame(DATA, END_STREAM | PADDED, 1, &[])].concat(),
            Event::Any(vec![Goaway(Code::FrameSize), Goaway(Code::Protocol)]),
        )
        .begins(1),
        case(
            "sizes of frames",
            "HEADERS with padding",
            frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, &padded(4, &whole)),
            Status(1, 200),
        )
        .forwards(1),
        case(
            "sizes of frames",
            "HEADERS with more padding than there is",
            frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, &padded(200, &[0x82])),
            Goaway(Code::Protocol),
        ),
    ]
}
