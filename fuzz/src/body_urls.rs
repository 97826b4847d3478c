//! `rewrite_urls = "bodies"`: however a body is cut into chunks it comes out the same, as a simple reader of the whole of
//! it would make it; and of what is JSON only texts change, and only those that begin with the upstream's address.
//!
//! Input: a byte that says who calls, then the body.

use bytes::Bytes;
use flexslot_proxy::proxy::urls::{CallerBase, CallerScheme, bodies::BodyRewriter};
use serde_json::Value;

use super::bytes::Dice;

const UPSTREAM: &str = "https://api.flexslot.gg";
const BASE: &str = "/api/public/v1/";

fn caller(how: u8) -> CallerBase<'static> {
    CallerBase {
        scheme: if how & 1 == 0 { CallerScheme::Http } else { CallerScheme::Https },
        authority: [Some("localhost:3539"), Some("[::1]:3539"), None, Some("a b\"")][usize::from(how >> 1) % 4],
        prefix: if how & 8 == 0 { "" } else { "/t/acme" },
    }
}

/// What stands before [`BASE`] instead.
fn root(caller: CallerBase<'_>) -> String {
    let scheme = if caller.scheme == CallerScheme::Http { "http" } else { "https" };
    let authority = caller.authority.filter(|authority| !authority.contains(' '));
    authority.map_or(String::new(), |authority| format!("{scheme}://{authority}")) + caller.prefix
}

fn rewritten<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, caller: CallerBase<'_>) -> Vec<u8> {
    let mut rewriter = BodyRewriter::new(&UPSTREAM.parse().expect("an origin"), caller);
    let mut out: Vec<u8> = Vec::new();
    for piece in pieces {
        out.extend(rewriter.pass(Bytes::copy_from_slice(piece)));
    }
    out.extend(rewriter.end());
    assert!(!rewriter.holds());
    out
}

/// How many bytes of `text` spell the upstream's address, and whether a backslash stands before their last slash.
fn spelt(text: &[u8]) -> Option<(usize, bool)> {
    let (mut at, mut escaped) = (0, false);
    for &sought in format!("{UPSTREAM}{BASE}").as_bytes() {
        escaped = sought == b'/' && text.get(at) == Some(&b'\\');
        at += usize::from(escaped);
        if text.get(at) != Some(&sought) {
            return None;
        }
        at += 1;
    }
    Some((at, escaped))
}

/// The same by somebody who has all of it at once.
fn simple(body: &[u8], caller: CallerBase<'_>) -> Vec<u8> {
    let plain = root(caller) + BASE;
    let (mut out, mut at, mut inside) = (Vec::new(), 0, false);
    while let Some(&byte) = body.get(at) {
        out.push(byte);
        at += 1;
        match (inside, byte) {
            (false, b'"') => {
                inside = true;
                if let Some((length, escaped)) = spelt(&body[at..]) {
                    out.extend(if escaped { plain.replace('/', "\\/") } else { plain.clone() }.bytes());
                    at += length;
                }
            }
            (true, b'"') => inside = false,
            (true, b'\\') => {
                out.extend(body.get(at));
                at += 1;
            }
            _ => {}
        }
    }
    out
}

/// Compares two documents of the same shape text by text. Names of members are texts as well, and would be sorted
/// differently; they are left to [`simple`].
fn compare(before: &Value, after: &Value, root: &str) {
    match (before, after) {
        (Value::String(before), Value::String(after)) => match before.strip_prefix(UPSTREAM) {
            Some(rest) if rest.starts_with(BASE) => {
                // Escapes other than that of the slash are not undone to see whether it is one.
                assert!(*after == format!("{root}{rest}") || after == before, "{before} became {after}");
            }
            _ => assert_eq!(before, after),
        },
        (Value::Array(before), Value::Array(after)) => {
            assert_eq!(before.len(), after.len());
            before.iter().zip(after).for_each(|(before, after)| compare(before, after, root));
        }
        (Value::Object(before), Value::Object(after)) => {
            for (name, value) in before.iter().filter(|(name, _)| !name.starts_with("http")) {
                if let Some(other) = after.get(name) {
                    compare(value, other, root);
                }
            }
        }
        (before, after) => assert_eq!(before, after),
    }
}

pub fn run(input: &[u8]) {
    let [how, body @ ..] = input else { return };
    let caller = caller(*how);
    let whole = rewritten([body], caller);
    assert_eq!(whole, simple(body, caller), "{}", body.escape_ascii());
    assert_eq!(rewritten(body.chunks(1), caller), whole, "by single bytes");
    let mut dice = Dice::of(input);
    for longest in [3, 40] {
        assert_eq!(rewritten(dice.cut(body, longest), caller), whole, "cut at random");
    }
    if let Ok(before) = serde_json::from_slice::<Value>(body) {
        let after = serde_json::from_slice(&whole).expect("JSON stays JSON");
        compare(&before, &after, &root(caller));
    }
}
