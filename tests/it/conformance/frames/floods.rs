//! Much of what costs the client little.

use super::{
    Case, Closed, Code, Event, Goaway, Reset, Status, Step, case, get,
    openings::frame_of_waiting,
    post, steps,
    wire::{
        ACK, CONTINUATION, DATA, END_STREAM, HEADERS, PADDED, PING, PRIORITY, SETTINGS, frame, headers, literal,
        opening, reset, settings, window_update,
    },
};

/// Numbers of the client's streams.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

pub(super) fn cases() -> Vec<Case> {
    let calm = || Goaway(Code::EnhanceYourCalm);
    // The limit for the first head is not for floods to run into, however slow the machine is.
    let begun_well = || vec![Step::Send([opening(), get(1)].concat()), Step::Hear(Status(1, 200))];
    let fine = |name: &str, flood: Vec<u8>| {
        let mut all = begun_well();
        all.push(Step::Send(flood));
        steps("floods", name, all).forwards(1)
    };
    let of = |count: u32, each: &dyn Fn(u32) -> Vec<u8>| streams(count).flat_map(each).collect::<Vec<u8>>();
    let begun = || frame(HEADERS, END_STREAM, 1, &[0x82]);
    vec![
        fine("10,000 SETTINGS", settings(&[]).repeat(10_000)),
        fine(
            "10,000 SETTINGS that change the table",
            settings(&[(1, 0), (1, 4096), (4, 0), (4, 65_535)]).repeat(10_000),
        ),
        fine("100,000 PINGs", frame(PING, 0, 0, &[0; 8]).repeat(100_000)),
        fine("100,000 answers to no PING", frame(PING, ACK, 0, &[0; 8]).repeat(100_000)),
        fine("100,000 PRIORITYs", frame(PRIORITY, 0, 0x3fff_0001, &[0, 0, 0, 0, 1]).repeat(100_000)),
        fine("100,000 frames of an unknown type", frame(0xff, 0, 0, &[]).repeat(100_000)),
        fine("100,000 windows", window_update(0, 1).repeat(100_000)),
        case(
            "floods",
            "1,000 acknowledged SETTINGS that were not sent",
            frame(SETTINGS, ACK, 0, &[]).repeat(1000),
            Goaway(Code::Protocol),
        ),
        case("floods", "100,000 empty bodies", [post(1), frame(DATA, 0, 1, &[]).repeat(100_000)].concat(), calm())
            .begins(1),
        case(
            "floods",
            "100,000 bodies of padding",
            [post(1), frame(DATA, PADDED, 1, &[0]).repeat(100_000)].concat(),
            calm(),
        )
        .begins(1),
        case(
            "floods",
            "10,000 empty CONTINUATIONs",
            [begun(), frame(CONTINUATION, 0, 1, &[]).repeat(10_000)].concat(),
            calm(),
        ),
        case(
            "floods",
            "1 MB of CONTINUATIONs",
            [begun(), frame(CONTINUATION, 0, 1, &literal(b"x", &[b'a'; 16_000])).repeat(64)].concat(),
            // Who closes with unread bytes may cut its own last word off.
            Event::Any(vec![calm(), Closed]),
        ),
        case(
            "floods",
            "10,000 requests that are reset at once",
            of(10_000, &|stream| [frame_of_waiting(stream), reset(stream)].concat()),
            calm(),
        )
        .begins(10_000),
        case(
            "floods",
            "10,000 uploads that are reset at once",
            of(10_000, &|stream| [post(stream), reset(stream)].concat()),
            calm(),
        )
        .begins(10_000),
        case(
            "floods",
            "10,000 malformed requests",
            of(10_000, &|stream| headers(END_STREAM, stream, &literal(b"x", b"1"))),
            calm(),
        ),
        case(
            "floods",
            "2,000 resets by windows of nothing",
            of(2000, &|stream| [frame_of_waiting(stream), window_update(stream, 0)].concat()),
            Event::Any(vec![calm(), Goaway(Code::Protocol)]),
        )
        .begins(2000),
        case("floods", "251 requests at a time", of(251, &frame_of_waiting), Reset(501, Code::RefusedStream))
            .begins(250)
            .over(),
        case(
            "floods",
            "1 MiB beyond the windows",
            [frame_of_waiting_upload(), frame(DATA, 0, 1, &[b'a'; 16_384]).repeat(160)].concat(),
            Event::Any(vec![Goaway(Code::FlowControl), Reset(1, Code::FlowControl), Status(1, 408)]),
        )
        .begins(1)
        .over(),
    ]
}

/// The head of an upload whose answer waits.
fn frame_of_waiting_upload() -> Vec<u8> {
    let mut fields = super::with("x-wait", "yes");
    fields[0].1 = "POST";
    headers(0, 1, &super::block(&fields))
}
