use super::{BASE, PathClass, PathError, PathFault, Target};
use http::uri::PathAndQuery;
use proptest::prelude::*;

fn check(written: &str) -> Result<Target, PathError> {
    Target::check(&written.parse::<PathAndQuery>().expect("what http::Uri takes"))
}

fn below(rest: &str) -> Result<Target, PathError> {
    check(&format!("{BASE}{rest}"))
}

#[track_caller]
fn invalid(rest: &str, fault: PathFault) {
    assert_eq!(below(rest).map(|target| target.class()), Err(PathError::Invalid(fault)), "{rest}");
}

#[track_caller]
fn passes(rest: &str, class: PathClass) {
    let target = below(rest).unwrap_or_else(|error| panic!("{rest}: {error:?}"));
    assert_eq!(target.class(), class, "{rest}");
    assert_eq!(target.forward().as_str(), format!("{BASE}{rest}"), "forwarded byte for byte");
}

#[test]
fn ordinary_paths_pass_byte_for_byte() {
    for rest in [
        "",
        "decks/",
        "decks",
        "cards/Fire%20%2F%2F%20Ice",
        "cards/Fire%20%2f%2f%20Ice/",
        "cards/100%25",
        "cards/J%c3%B6tun",
        "cards/Jötun",
        "decks/a;v=1",
        "decks/...",
        "decks/.hidden",
        "decks/a..b",
        "cards?a=../..&b=%2e%2e/%zz//&c=\\",
        "mean/partner",
        "me",
        "me/",
        "users/me/partner",
        "cards/oauth",
        "Jötun/oauth",
    ] {
        passes(rest, PathClass::Ordinary);
    }
}

#[test]
fn partner_paths_are_known_in_every_spelling() {
    for rest in [
        "me/partner",
        "me/partner/oauth2-clients",
        "me/partners",
        "ME/Partner",
        "%6de/p%61rtner",
        "me/access-tokens/",
        "me/access-tokens",
        "me/acce\u{17f}\u{17f}-to\u{212a}ens",
        "me;a=b/partner;c",
    ] {
        passes(rest, PathClass::PatOnly);
    }
}

#[test]
fn dot_segments_are_refused_in_every_encoding() {
    for rest in [
        "..",
        ".",
        "decks/../me",
        "decks/./x",
        "decks/%2e%2e/x",
        "decks/%2E./x",
        "decks/.%2e",
        "decks/%2e",
        "decks/..%2Fx",
        "decks/x%2F..",
        "decks/x%2f%2e%2e%2fy",
        "decks/%252e%252e/x",
        "decks/%252E%252e%252Fx",
        "decks/x%252F..",
        "decks/..;/x",
        "decks/..;a=b/x",
        "decks/.%3B/x",
    ] {
        invalid(rest, PathFault::DotSegment);
    }
    assert_eq!(check("/t/../api/public/v1/decks").unwrap_err(), PathFault::DotSegment.into());
    assert_eq!(check("/t/%2e%2e/api/public/v1/decks").unwrap_err(), PathFault::DotSegment.into());
    assert_eq!(check("/x/../api/public/v1/decks").unwrap_err(), PathFault::DotSegment.into());
}

#[test]
fn backslashes_controls_and_bad_encodings_are_refused() {
    for rest in ["decks\\x", "decks%5Cx", "decks%5cx", "decks/%255C"] {
        invalid(rest, PathFault::Backslash);
    }
    for rest in ["%00", "decks/%0d%0a", "decks/%7f", "decks/%2500", "decks/%C2%85"] {
        invalid(rest, PathFault::Control);
    }
    for rest in ["%", "decks/%zz", "decks/%2", "decks/%u002e", "decks/%%32%65", "decks/a%2gb"] {
        invalid(rest, PathFault::Escape);
    }
    for rest in ["%ff", "decks/%c0%ae%c0%ae/x", "decks/%c0%af", "decks/%e0%80%af", "decks/%25ff"] {
        invalid(rest, PathFault::Encoding);
    }
}

#[test]
fn empty_segments_are_refused_but_for_a_trailing_slash() {
    for rest in ["/", "/decks", "decks//x", "decks//", "decks/;/x", "decks/;a=b", ";/me/partner"] {
        invalid(rest, PathFault::EmptySegment);
    }
    assert_eq!(check("//api/public/v1/decks").unwrap_err(), PathFault::EmptySegment.into());
}

#[test]
fn an_encoded_slash_that_would_change_the_decision_is_refused() {
    for rest in [
        "me%2Fpartner",
        "me%252Fpartner",
        "me/%2Fpartner",
        "%2Fme/partner",
        "me;%2Fpartner",
        "me/%252F;/partner",
        "m%2565/partner",
        "oauth%2Ftoken",
        "oauth%252Ftoken",
        "%2Foauth/token",
        "%256fauth/token",
        "decks/7%2Fguide",
        "cards%2F7",
    ] {
        invalid(rest, PathFault::Ambiguous);
    }
    for path in ["/api%2Fpublic/v1/decks", "/api/public/v1%2Fdecks", "/%2561pi/public/v1/decks"] {
        assert_eq!(check(path).unwrap_err(), PathFault::Ambiguous.into(), "{path}");
    }
}

#[test]
fn the_oauth_endpoints_are_denied_in_every_spelling() {
    for rest in ["oauth", "oauth/", "oauth/token", "OAuth/token", "%6Fauth/token", "oauth;x/token"] {
        assert_eq!(below(rest).unwrap_err(), PathError::Denied, "{rest}");
    }
}

#[test]
fn paths_outside_the_base_are_not_proxied() {
    for path in [
        "/",
        "*",
        "/?x",
        "/healthz",
        "/api/public/v1",
        "/api/public/v1?x",
        "/API/public/v1/decks",
        "/api/public/v2/decks",
        "/api/public/v1;a/decks",
        "/t/acme",
        "/t/acme/",
        "/t/acme/decks",
        "/t/a/t/b/api/public/v1/decks",
        "/%74/acme/api/public/v1/decks",
    ] {
        assert_eq!(check(path).unwrap_err(), PathError::NotProxied, "{path}");
    }
}

#[test]
fn the_path_names_the_tenant() {
    let target = check("/t/auth0%7C5f7/api/public/v1/decks/?x=%2f").unwrap();
    assert_eq!(target.tenant().map(|tenant| tenant.as_str()), Some("auth0|5f7"));
    assert_eq!(target.prefix(), "/t/auth0%7C5f7");
    assert_eq!(target.forward().as_str(), "/api/public/v1/decks/?x=%2f");
    assert_eq!(below("decks").unwrap().tenant(), None);
    for name in ["", "a%2Fb", "%2541", "a%20", "%ff", "-a", "a%zz"] {
        let path = format!("/t/{name}/api/public/v1/decks");
        assert!(matches!(check(&path), Err(PathError::Tenant(_))), "{name}");
    }
}

#[test]
fn segments_are_decoded_once() {
    let target = below("cards/Fire%20%2F%2F%20Ice/?x").unwrap();
    assert_eq!(target.segments().collect::<Vec<_>>(), ["cards", "Fire // Ice"]);
    assert_eq!(target.agree(|segments| segments.len()), None);
    assert_eq!(target.agree(|segments| segments[0] == "cards"), Some(true));
}

#[test]
fn faults_are_told_apart() {
    let faults = [
        PathFault::DotSegment,
        PathFault::Backslash,
        PathFault::Control,
        PathFault::Fragment,
        PathFault::EmptySegment,
        PathFault::Escape,
        PathFault::Encoding,
        PathFault::Ambiguous,
    ];
    let told: std::collections::BTreeSet<_> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), faults.len());
}

/// A server behind us, with the habits that servers have.
#[derive(Debug, Clone, Copy)]
struct Server {
    decodes: usize,
    splits_before_decoding: bool,
    merges_slashes: bool,
    takes_backslash_for_slash: bool,
    cuts_parameters: bool,
    ignores_case: bool,
}

#[derive(Debug, PartialEq)]
enum Door {
    OAuth,
    Partner,
    Ordinary,
    Outside,
}

impl Server {
    fn door(self, path: &str) -> Door {
        let mut segments = if self.splits_before_decoding { split(path, false) } else { vec![path.to_owned()] };
        for segment in &mut segments {
            for _ in 0..self.decodes {
                *segment = percent_encoding::percent_decode_str(segment).decode_utf8_lossy().into_owned();
            }
        }
        if !self.splits_before_decoding {
            segments = split(&segments[0], self.takes_backslash_for_slash);
        }
        if self.cuts_parameters {
            segments.iter_mut().for_each(|segment| segment.truncate(segment.find(';').unwrap_or(segment.len())));
        }
        if self.ignores_case {
            segments.iter_mut().for_each(|segment| segment.make_ascii_lowercase());
        }
        let mut walked: Vec<String> = Vec::new();
        for segment in segments.into_iter().skip(1) {
            match segment.as_str() {
                "." => {}
                ".." => drop(walked.pop()),
                "" if self.merges_slashes => {}
                _ => walked.push(segment),
            }
        }
        let walked: Vec<_> = walked.iter().map(String::as_str).collect();
        match walked.as_slice() {
            ["api", "public", "v1", "oauth", ..] => Door::OAuth,
            ["api", "public", "v1", "me", second, ..] if second.starts_with("partner") => Door::Partner,
            ["api", "public", "v1", "me", "access-tokens", ..] => Door::Partner,
            ["api", "public", "v1", ..] => Door::Ordinary,
            _ => Door::Outside,
        }
    }
}

fn split(path: &str, backslash: bool) -> Vec<String> {
    path.split(|c| c == '/' || (backslash && c == '\\')).map(str::to_owned).collect()
}

fn servers() -> impl Strategy<Value = Server> {
    (0..3_usize, any::<[bool; 5]>()).prop_map(|(decodes, [before, merges, backslash, cuts, case])| Server {
        decodes,
        splits_before_decoding: before,
        merges_slashes: merges,
        takes_backslash_for_slash: backslash,
        cuts_parameters: cuts,
        ignores_case: case,
    })
}

/// Paths made of what confuses servers, each piece sometimes encoded again.
fn paths() -> impl Strategy<Value = String> {
    const WORDS: [&str; 19] = [
        "me",
        "ME",
        "partner",
        "access-tokens",
        "oauth",
        "decks",
        "guide",
        ".",
        "..",
        "/",
        "/",
        "/",
        "\\",
        ";",
        "%",
        "x",
        "e",
        "api",
        "v1",
    ];
    let piece = (0..WORDS.len(), 0..5_u8).prop_map(|(word, encoded)| {
        let word = WORDS[word];
        let hex = |text: &str| text.bytes().map(|byte| format!("%{byte:02x}")).collect::<String>();
        match encoded {
            0..=1 => word.to_owned(),
            2 => hex(word),
            3 => hex(word).replace('%', "%25"),
            _ => word.char_indices().map(|(at, c)| if at == 0 { hex(&c.to_string()) } else { c.into() }).collect(),
        }
    });
    (prop::sample::select(vec![BASE, BASE, BASE, "/", "/api/"]), prop::collection::vec(piece, 0..9))
        .prop_map(|(base, pieces)| base.to_owned() + &pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8192, ..ProptestConfig::default() })]

    #[test]
    fn every_server_sees_what_the_rules_saw(path in paths(), server in servers()) {
        let Ok(target) = check(&path) else { return Ok(()) };
        let door = server.door(target.forward().path());
        prop_assert_ne!(&door, &Door::OAuth, "{}", path);
        match target.class() {
            // A server that reads more literally than the rules sees an ordinary path, or one that does not exist.
            PathClass::PatOnly => {}
            PathClass::Ordinary => prop_assert!(matches!(door, Door::Ordinary | Door::Outside), "{}: {:?}", path, door),
        }
        let literal = Server { decodes: 1, splits_before_decoding: true, merges_slashes: false, takes_backslash_for_slash: false,
            cuts_parameters: true, ignores_case: true };
        prop_assert_eq!(literal.door(target.forward().path()) == Door::Partner, target.class() == PathClass::PatOnly);
    }

    #[test]
    fn no_server_that_decodes_leaves_the_base(path in paths(), server in servers()) {
        let server = Server { decodes: server.decodes.max(1), ..server };
        if let Ok(target) = check(&path) {
            prop_assert_ne!(server.door(target.forward().path()), Door::Outside, "{}", path);
        }
    }

    #[test]
    fn accepted_bytes_are_forwarded_unchanged(path in paths(), query in "[!$-;=?-~]{0,20}") {
        let written = format!("{path}?{query}");
        if let Ok(target) = check(&written) {
            prop_assert_eq!(target.forward().as_str(), written);
        }
    }
}
