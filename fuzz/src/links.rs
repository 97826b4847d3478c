//! `rewrite_urls` in headers: what is changed pointed at the upstream, and points at the same place of the caller's own
//! base, as a browser follows it; everything else stays byte for byte.
//!
//! Input: a byte that says who calls, then header lines with LF between them.

use flexslot_proxy::proxy::urls::{CallerBase, CallerScheme, rewrite};
use http::HeaderMap;
use url::Url;

use super::message::fields;

const UPSTREAM: &str = "https://api.flexslot.gg";
const PAGE: &str = "/api/public/v1/decks/";

fn caller(how: u8) -> CallerBase<'static> {
    CallerBase {
        scheme: if how & 1 == 0 { CallerScheme::Http } else { CallerScheme::Https },
        authority: [Some("localhost:3539"), Some("proxy.internal"), None][usize::from(how >> 1) % 3],
        prefix: if how & 8 == 0 { "" } else { "/t/acme" },
    }
}

/// What the caller called, as its browser knows it. Without a name any will do.
fn base(caller: CallerBase<'_>) -> Url {
    let scheme = if caller.scheme == CallerScheme::Http { "http" } else { "https" };
    let url = format!("{scheme}://{}{}{PAGE}", caller.authority.unwrap_or("unnamed.test"), caller.prefix);
    Url::parse(&url).expect("a URL")
}

/// A reference as it came and as it goes on.
fn check(before: &str, after: &str, caller: CallerBase<'_>) {
    let upstream = Url::parse(UPSTREAM).and_then(|upstream| upstream.join(PAGE)).expect("a URL");
    let plainly_ours = before.strip_prefix(UPSTREAM).is_some_and(|rest| rest.starts_with('/'))
        && before.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    if before == after {
        return assert!(!plainly_ours, "{before} stays");
    }
    let Ok(was) = upstream.join(before) else { panic!("{before} is no reference, and became {after}") };
    assert_eq!(was.origin(), upstream.origin(), "{before} was another's, and became {after}");
    let is = base(caller).join(after).unwrap_or_else(|error| panic!("{before} became {after}: {error}"));
    assert_eq!(is.origin(), base(caller).origin(), "{before} became {after}");
    assert_eq!((is.query(), is.fragment()), (was.query(), was.fragment()), "{before} became {after}");
    // Dot segments lead out of the prefix as they lead out of anything.
    let has_dots = |text: &str| text.contains("/.") || text.to_ascii_lowercase().contains("%2e");
    if !has_dots(before) {
        assert_eq!(is.path(), format!("{}{}", caller.prefix, was.path()), "{before} became {after}");
    }
}

/// The targets of a `Link` without quoted strings, and what stands between them. What stands in parameters in the way of a
/// target is among the targets; it does not change.
fn targets(links: &str) -> (Vec<&str>, Vec<&str>) {
    let pieces = links.split(['<', '>']).enumerate();
    let (inside, outside): (Vec<_>, Vec<_>) = pieces.partition(|(at, _)| at % 2 == 1);
    (inside.into_iter().map(|(_, text)| text).collect(), outside.into_iter().map(|(_, text)| text).collect())
}

/// Whether every `<` has its `>`, and nothing is quoted.
fn is_regular(links: &str) -> bool {
    let marks: String = links.chars().filter(|c| "<>\"".contains(*c)).collect();
    marks.as_bytes().chunks(2).all(|pair| pair == b"<>")
}

fn check_all(before: &HeaderMap, after: &HeaderMap, caller: CallerBase<'_>) {
    assert_eq!(before.len(), after.len());
    for ((name, before), (same, after)) in before.iter().zip(after) {
        assert_eq!(name, same);
        let (Ok(before), Ok(after)) = (before.to_str(), after.to_str()) else { continue };
        match name.as_str() {
            "location" | "content-location" => check(before, after, caller),
            "link" if before == after || !is_regular(before) => {}
            "link" => {
                let ((old, between), (new, still)) = (targets(before), targets(after));
                assert_eq!(between, still, "{before} became {after}");
                assert_eq!(old.len(), new.len());
                let changed = old.into_iter().zip(new).filter(|(old, new)| old != new);
                changed.for_each(|(old, new)| check(old, new, caller));
            }
            _ => assert_eq!(before, after),
        }
    }
}

pub fn run(input: &[u8]) {
    let [how, text @ ..] = input else { return };
    let (caller, before) = (caller(*how), fields(text));
    let mut after = before.clone();
    rewrite(&mut after, &UPSTREAM.parse().expect("an origin"), caller);
    check_all(&before, &after, caller);
}
