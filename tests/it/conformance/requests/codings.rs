//! `Transfer-Encoding` in every disguise: alone, beside a length (CL.TE and TE.CL), and beside another one (TE.TE).

use super::{Case, SMUGGLED, case, forwarded, post, refused};
use crate::conformance::setup::shown;

/// What a strict reader makes of a spelling.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// `chunked`, as it may be written.
    Chunked,
    Malformed,
    /// A field of another meaning.
    Other,
}

use Reading::{Chunked, Malformed, Other};

const SPELLINGS: [(&str, Reading); 60] = [
    ("Transfer-Encoding: chunked", Chunked),
    ("Transfer-Encoding:chunked", Chunked),
    ("Transfer-Encoding: chunked ", Chunked),
    ("Transfer-Encoding:\tchunked\t", Chunked),
    ("TRANSFER-ENCODING: CHUNKED", Chunked),
    ("transfer-encoding: ChUnKeD", Chunked),
    ("Transfer-Encoding : chunked", Malformed),
    ("Transfer-Encoding\t: chunked", Malformed),
    (" Transfer-Encoding: chunked", Malformed),
    ("\tTransfer-Encoding: chunked", Malformed),
    ("Transfer-Encoding:\r\n chunked", Malformed),
    ("Transfer-Encoding:\r\n\tchunked", Malformed),
    ("Transfer-Encoding:\n chunked", Malformed),
    ("Transfer-Encoding: chunked\r\n , identity", Malformed),
    ("Transfer-Encoding: chunked\nX: y", Malformed),
    ("Transfer-Encoding: chunked\rX: y", Malformed),
    ("X: y\nTransfer-Encoding: chunked", Malformed),
    ("X: y\rTransfer-Encoding: chunked", Malformed),
    ("X: y\r\n Transfer-Encoding: chunked", Malformed),
    ("Transfer-Encoding:", Malformed),
    ("Transfer-Encoding: ,", Malformed),
    ("Transfer-Encoding: xchunked", Malformed),
    ("Transfer-Encoding: chunkedx", Malformed),
    ("Transfer-Encoding: chun ked", Malformed),
    ("Transfer-Encoding: identity", Malformed),
    ("Transfer-Encoding: gzip", Malformed),
    ("Transfer-Encoding: gzip, chunked", Malformed),
    ("Transfer-Encoding: chunked, gzip", Malformed),
    ("Transfer-Encoding: identity, chunked", Malformed),
    ("Transfer-Encoding: chunked, identity", Malformed),
    ("Transfer-Encoding: chunked, chunked", Malformed),
    ("Transfer-Encoding: ,chunked", Malformed),
    ("Transfer-Encoding: chunked,", Malformed),
    ("Transfer-Encoding: chunked;q=1", Malformed),
    ("Transfer-Encoding: chunked;", Malformed),
    ("Transfer-Encoding: \"chunked\"", Malformed),
    ("Transfer-Encoding: 'chunked'", Malformed),
    ("Transfer-Encoding: chunked\0", Malformed),
    ("Transfer-Encoding: \0chunked", Malformed),
    ("Transfer-Encoding: \x0bchunked", Malformed),
    ("Transfer-Encoding: chunked\x0c", Malformed),
    ("Transfer-Encoding: chunked\x7f", Malformed),
    ("Transfer-Encoding: \u{a0}chunked", Malformed),
    ("Transfer-Encoding: chun\u{212a}ed", Malformed),
    ("Transfer-Encoding: ch\u{fc}nked", Malformed),
    ("Transfer-Encoding: %63hunked", Malformed),
    ("Transfer-Encoding\0: chunked", Malformed),
    ("Transfer-Encoding\x0b: chunked", Malformed),
    ("Transfer-Encoding\u{a0}: chunked", Malformed),
    ("Tr\u{430}nsfer-Encoding: chunked", Malformed),
    ("Transfer Encoding: chunked", Malformed),
    ("Transfer-Encoding= chunked", Malformed),
    ("Transfer-Encoding; chunked", Malformed),
    (":Transfer-Encoding: chunked", Malformed),
    ("Transfer_Encoding: chunked", Other),
    ("Transfer-Encoding-: chunked", Other),
    ("X-Transfer-Encoding: chunked", Other),
    ("TransferEncoding: chunked", Other),
    ("Content-Encoding: chunked", Other),
    ("TE: chunked", Other),
];

pub(super) fn cases() -> Vec<Case> {
    SPELLINGS.iter().flat_map(|(text, reading)| placed(text, *reading)).collect()
}

/// A spelling in each of the places where readers have come to disagree about it.
fn placed(text: &str, reading: Reading) -> Vec<Case> {
    const CHUNKS: &str = "3\r\nabc\r\n0\r\n\r\n";
    let hidden = format!("0\r\n\r\n{SMUGGLED}");
    let named = |place: &str| format!("{}, {place}", shown(text));
    let whole = format!("Content-Length: {}\r\n", hidden.len());
    let with = |before: &str, after: &str, body: &str| post(&format!("{before}{text}\r\n{after}"), body);
    let length = |fields: String| match reading {
        Other => (fields, forwarded(&hidden)),
        Chunked | Malformed => (fields, refused(400)),
    };
    let alone = match reading {
        Chunked => case("codings", named("alone"), &with("", "", CHUNKS), forwarded("abc")),
        Malformed => case("codings", named("alone"), &with("", "", &hidden), refused(400)),
        Other => case("codings", named("alone"), &with("", "", CHUNKS), forwarded("").then(400)),
    };
    let (first, first_fate) = length(with(&whole, "", &hidden));
    let (second, second_fate) = length(with("", &whole, &hidden));
    let good = "Transfer-Encoding: chunked\r\n";
    let double = |before: &str, after: &str| match reading {
        Other => (with(before, after, CHUNKS), forwarded("abc")),
        Chunked | Malformed => (with(before, after, &hidden), refused(400)),
    };
    let (behind, behind_fate) = double(good, "");
    let (ahead, ahead_fate) = double("", good);
    let mut cases = vec![
        alone,
        case("codings and lengths", named("behind a length"), &first, first_fate),
        case("codings and lengths", named("ahead of a length"), &second, second_fate),
        case("two codings", named("behind a good one"), &behind, behind_fate),
    ];
    // Twice the same is in that already.
    if text != good.trim_end() {
        cases.push(case("two codings", named("ahead of a good one"), &ahead, ahead_fate));
    }
    if reading != Other {
        let short = with("Content-Length: 5\r\n", "", &hidden);
        cases.push(case("codings and lengths", named("behind a length that is too short"), &short, refused(400)));
    }
    cases
}
