//! Paths that servers read in different ways: each piece in each place.

use super::{Case, case, forwarded, head, refused};
use crate::conformance::setup::shown;

/// Pieces that some server takes for a way up, for nothing, or for the end of the path.
const REFUSED: [&str; 47] = [
    ".",
    "..",
    "%2e",
    "%2E",
    "%2e%2e",
    "%2E%2e",
    ".%2e",
    "%2e.",
    "%252e%252e",
    "%25%32%65%25%32%65",
    "..;",
    "..;x=1",
    ";x",
    ";",
    "%2e%2e;x",
    "..%3b",
    "..%3Bx=1",
    ".;",
    "..%00",
    "%00",
    "%0a",
    "%0d%0aX-Injected:%201",
    "%09",
    "%1f",
    "%7f",
    "%2500",
    "\\",
    "..\\",
    "\\..\\",
    "%5c",
    "%5C..%5C",
    "%255c",
    "%2f..%2f",
    "..%2f",
    "%2f..",
    "..%252f",
    "%252f..%252f",
    "a%2f..%2fb",
    "a%2f.",
    "%c0%ae%c0%ae",
    "%c0%af",
    "%e0%80%af",
    "%ff",
    "%u002e",
    "%",
    "%2",
    "%zz",
];

/// Pieces that are odd and mean themselves.
const TAKEN: [&str; 17] = [
    "...",
    "....",
    "..a",
    "a..",
    ".a",
    "a.",
    "a;b",
    "a;..",
    "a;x=../y",
    "~",
    "$&'()*+,=:@!",
    "%20",
    "..%20",
    "%C3%A9",
    "%e2%80%ae",
    "-",
    "_",
];

/// Whole paths with `{mark}` at their end, and what is answered.
const GUARDED: [(&str, u16); 31] = [
    ("/api/public/v1/oauth/token", 403),
    ("/api/public/v1/oauth/", 403),
    ("/api/public/v1/oauth", 403),
    ("/api/public/v1/OAuth/token", 403),
    ("/api/public/v1/%6fauth/token", 403),
    ("/api/public/v1/%4F%41%55%54%48/token", 403),
    ("/api/public/v1/oauth;x=1/token", 403),
    ("/api/public/v1/oauth%3b/token", 403),
    ("/api/public/v1/%256fauth/token", 400),
    ("/api/public/v1/oauth%2ftoken", 400),
    ("/api/public/v1/oauth%252ftoken", 400),
    ("/api/public/v1/a%2foauth", 400),
    ("/api/public/v1/a%2fb/decks", 400),
    ("/api/public/v1/me%2fpartner", 400),
    ("/api/public/v1/me%252fpartner", 400),
    ("/api/public/v1//decks/", 400),
    ("/api/public/v1///", 400),
    ("//api/public/v1/decks/", 400),
    ("/api//public/v1/decks/", 400),
    ("/api/public%2fv1/decks/", 400),
    ("/api%2fpublic%2fv1%2fdecks", 400),
    ("/%61pi/public/v1/oauth/token", 403),
    ("/", 404),
    ("/api", 404),
    ("/api/public/v1", 404),
    ("/api/public/v2/decks/", 404),
    ("/API/PUBLIC/V1/decks/", 404),
    ("/api/public/v1.1/decks/", 404),
    ("/x/api/public/v1/decks/", 404),
    ("/_sandbox/", 404),
    ("/api/public/v1;x/decks/", 404),
];

pub(super) fn cases() -> Vec<Case> {
    let line = |target: &str| head(&format!("GET {target} HTTP/1.1"), "Connection: close\r\n");
    let places = [
        ("first", "/api/public/v1/", "/decks/{mark}"),
        ("in the middle", "/api/public/v1/decks/", "/{mark}"),
        ("last", "/api/public/v1/decks/{mark}/", ""),
    ];
    let mut cases = Vec::new();
    for (place, before, after) in places {
        let named = |piece: &str| format!("{}, {place}", shown(piece));
        let at = |piece: &str| line(&format!("{before}{piece}{after}"));
        cases.extend(REFUSED.map(|piece| case("paths", named(piece), &at(piece), refused(400))));
        cases.extend(TAKEN.map(|piece| case("paths", named(piece), &at(piece), forwarded(""))));
    }
    cases.extend(GUARDED.map(|(path, status)| case("guarded paths", path, &line(path), refused(status))));
    cases.extend(
        [
            "/api/public/v1/decks/{mark}/",
            "/api/public/v1/{mark}",
            "/api/public/v1/decks/a%2fb/{mark}",
            "/%61pi/public/v1/decks/{mark}",
            "/api/public/v1/cards/Fire%20%2F%2F%20{mark}",
        ]
        .map(|path| case("guarded paths", path, &line(path), forwarded(""))),
    );
    cases
}
