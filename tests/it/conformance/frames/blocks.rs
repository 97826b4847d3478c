//! Header blocks: HPACK, and how they are cut into frames.

use super::{
    Case, Code, Event, Given, Goaway, Status, case, get, good, steps,
    wire::{CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PING, block, frame, headers, literal},
};

pub(super) fn cases() -> Vec<Case> {
    [hpack(), bombs(), continuations()].into_iter().flatten().collect()
}

/// What cannot be decoded ends the connection, because nobody knows the table any more (RFC 9113 section 4.3).
fn hpack() -> Vec<Case> {
    let one = |name: &str, bytes: &[u8]| {
        let bytes = [&block(&good())[..], bytes].concat();
        case("HPACK", name, headers(END_STREAM, 1, &bytes), Given(Code::Compression))
    };
    let first = |name: &str, bytes: &[u8]| {
        let bytes = [bytes, &block(&good())].concat();
        case("HPACK", name, headers(END_STREAM, 1, &bytes), Given(Code::Compression))
    };
    vec![
        one("index 0", &[0x80]),
        one("an index beyond the table", &[0xbe]),
        one("the largest index", &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        one("a number without an end", &[0xff, 0xff, 0xff]),
        one("a number of 2^64", &[0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01]),
        one("a name that is longer than the block", &[0x00, 0x7f, 0x7f, b'a']),
        one("a value that is longer than the block", &[0x00, 0x01, b'a', 0x05, b'b']),
        one("a name without a value", &[0x00, 0x01, b'a']),
        one("a literal of a name beyond the table", &[0x7f, 0x7f, 0x01, b'a']),
        one("the end of Huffman's code in a value", &[0x00, 0x01, b'a', 0x84, 0xff, 0xff, 0xff, 0xff]),
        one("Huffman padding of zeros", &[0x00, 0x01, b'a', 0x81, 0x18]),
        one("Huffman padding of more than seven bits", &[0x00, 0x01, b'a', 0x82, 0x1f, 0xff]),
        one("a size of the table in the midst of a block", &[0x20]),
        first("a table larger than was allowed", &[0x3f, 0xe2, 0x1f]),
        first("a table of 2^32", &[0x3f, 0xe1, 0xff, 0xff, 0xff, 0x0f]),
        case(
            "HPACK",
            "sizes of the table first",
            headers(END_STREAM, 1, &[&[0x20, 0x3f, 0xe1, 0x1f][..], &block(&good())].concat()),
            Status(1, 200),
        )
        .forwards(1),
    ]
}

/// Small blocks that say much.
fn bombs() -> Vec<Case> {
    let refused = || Event::Any(vec![Status(1, 431), super::Reset(1, Code::Protocol), Goaway(Code::EnhanceYourCalm)]);
    // One entry of 4,000 bytes in the table, said as often as fits into a frame.
    let entry = [&[0x40, 0x01, b'a', 0x7f, 0xa1, 0x1e][..], &[b'b'; 4000]].concat();
    let said = [block(&good()), entry, vec![0xbe; 12_000]].concat();
    let long = |length: usize| [block(&good()), literal(b"x-long", &vec![b'a'; length])].concat();
    let many = |count: usize| [block(&good()), literal(b"x", b"1").repeat(count)].concat();
    let cut = |block: &[u8]| {
        let last = block.chunks(16_384).count() - 1;
        let frame_of = |(at, chunk): (usize, &[u8])| {
            let end = if at == last { END_HEADERS } else { 0 };
            if at == 0 { frame(HEADERS, END_STREAM | end, 1, chunk) } else { frame(CONTINUATION, end, 1, chunk) }
        };
        block.chunks(16_384).enumerate().flat_map(frame_of).collect::<Vec<u8>>()
    };
    vec![
        case("bombs", "48 MB out of 16 KB", headers(END_STREAM, 1, &said), refused()),
        case("bombs", "60 KB in one field", cut(&long(60_000)), Status(1, 200)).forwards(1),
        case("bombs", "70 KB in one field", cut(&long(70_000)), refused()),
        // HTTP/1.1 has a limit of fields besides, which is hyper's.
        case("bombs", "a thousand fields", cut(&many(1000)), Status(1, 200)).forwards(1),
        case(
            "bombs",
            "ten thousand fields",
            cut(&many(10_000)),
            Event::Any(vec![refused(), Goaway(Code::EnhanceYourCalm)]),
        )
        .over(),
        case(
            "bombs",
            "a crumbled cookie of 2,000 pieces",
            cut(&[block(&good()), literal(b"cookie", b"a=b").repeat(2000)].concat()),
            refused(),
        ),
    ]
}

fn continuations() -> Vec<Case> {
    let one = |name: &str, bytes: Vec<u8>| case("CONTINUATION", name, bytes, Goaway(Code::Protocol));
    let begun = || frame(HEADERS, END_STREAM, 1, &block(&good()));
    let end = |stream: u32| frame(CONTINUATION, END_HEADERS, stream, &[]);
    let whole = block(&good());
    // So many frames behind the first.
    let cut = |count: usize| {
        let mut pieces = frame(HEADERS, END_STREAM, 1, &whole[..1]);
        for at in 1..count {
            pieces.extend(frame(CONTINUATION, 0, 1, &whole[at..=at]));
        }
        pieces.extend(frame(CONTINUATION, END_HEADERS, 1, &whole[count..]));
        pieces
    };
    vec![
        one("on stream 0", [begun(), end(0)].concat()),
        one("of another stream", [begun(), end(3)].concat()),
        one("behind a whole head", [get(1), end(1)].concat()).begins(1),
        one("a PING in between", [begun(), frame(PING, 0, 0, &[0; 8]), end(1)].concat()),
        one("a body in between", [begun(), frame(0, 0, 1, b"abc"), end(1)].concat()),
        one("another head in between", [begun(), get(3), end(1)].concat()),
        one("the same head in between", [begun(), get(1), end(1)].concat()),
        case("CONTINUATION", "three", cut(3), Status(1, 200)).forwards(1),
        // As many as header_size needs, and a few; nobody cuts a head so small.
        case("CONTINUATION", "thirty", cut(30), Goaway(Code::EnhanceYourCalm)),
        case("CONTINUATION", "an empty one", [begun(), end(1)].concat(), Status(1, 200)).forwards(1),
        steps(
            "CONTINUATION",
            "half a head and the end",
            vec![
                super::Step::Send([super::opening(), begun()].concat()),
                super::Step::HangUp,
                super::Step::Hear(super::Closed),
            ],
        ),
    ]
}
