//! One byte too many, in each place of a head.

use super::{Case, case, forwarded, refused};

/// Where a byte is put: the text before it and after it, and whether it is part of a field's value there.
const PLACES: [(&str, &str, &str, Part); 14] = [
    ("before the method", "", "GET", Part::Syntax),
    ("in the method", "G", "ET", Part::Syntax),
    ("after the method", "GET", " /api", Part::Syntax),
    ("before the target", "GET ", "/api", Part::Syntax),
    ("in the target", "/decks/{mark}", " HTTP", Part::Syntax),
    ("before the version", " ", "HTTP/1.1", Part::Syntax),
    ("in the version", "HTTP/", "1.1", Part::Syntax),
    ("after the version", "HTTP/1.1", "\r\n", Part::Syntax),
    ("before a name", "", "X-One", Part::Syntax),
    ("in a name", "X-", "One", Part::Syntax),
    ("before the colon", "X-One", ":", Part::Syntax),
    ("before a value", ": ", "first", Part::Value),
    ("in a value", "fir", "st", Part::Value),
    ("at the end of a head", "first\r\n", "\r\n", Part::Syntax),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Syntax,
    Value,
}

const BYTES: [char; 13] =
    ['\0', '\x01', '\x08', '\t', '\n', '\x0b', '\x0c', '\r', '\x1b', ' ', '\x7f', '\u{80}', '\u{ff}'];

/// RFC 9110 section 5.5: what a value may hold besides visible ASCII.
const IN_VALUES: [char; 4] = ['\t', ' ', '\u{80}', '\u{ff}'];

pub(super) fn cases() -> Vec<Case> {
    let good = "GET /api/public/v1/decks/{mark} HTTP/1.1\r\nHost: localhost\r\nX-Flexslot-Tenant: acme\r\nX-One: first\r\n\r\n";
    let mut cases = Vec::new();
    for (place, before, after, part) in PLACES {
        let at = match before {
            "" => good.find(after),
            _ => good.find(&format!("{before}{after}")).map(|at| at + before.len()),
        };
        let at = at.expect("a place in the head");
        for byte in BYTES {
            // Between two spaces, the one that is too many has no place of its own.
            if byte == ' ' && matches!(place, "before the target" | "before the version") {
                continue;
            }
            let text = format!("{}{byte}{}", &good[..at], &good[at..]);
            let legal = part == Part::Value && IN_VALUES.contains(&byte);
            let fate = if legal { forwarded("") } else { refused(400) };
            cases.push(case("one byte too many", format!("{byte:?} {place}"), &text, fate));
        }
    }
    cases
}
