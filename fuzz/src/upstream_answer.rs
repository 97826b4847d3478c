//! The bytes of an upstream's answer against a whole sidecar: the caller gets an answer that nobody can misread, or sees
//! that it is none; nothing that belongs to another hop or origin passes; and what is left over of it is never the answer
//! to the next request.
//!
//! Input: a byte that says what is asked, one that says how the upstream goes on, then its bytes. They come in pieces.

use std::{sync::Arc, time::Duration};

use flexslot_proxy::proxy::urls::Bodies;
use http::HeaderMap;
use tokio::time::sleep;

use super::{
    bytes::Dice,
    message::Head,
    request::heard,
    stage::{
        Clockwork, TENANTS, World,
        caller::{Reply, final_head, has_no_secret},
        on_virtual_time,
        store::Mood,
        upstream::{Outcome, Part, Script, Upstream},
    },
};

const NEXT: &[u8] = b"the answer to the next request";

/// What never passes.
const NEVER: [&str; 10] = [
    "alt-svc",
    "clear-site-data",
    "dpop-nonce",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "set-cookie",
    "strict-transport-security",
    "upgrade",
];

/// What is asked for.
struct Question {
    text: String,
    to_head: bool,
    rewrites: Option<Bodies>,
}

// === impl Question ===

impl Question {
    fn of(how: u8) -> Self {
        let method = ["GET", "HEAD", "POST", "GET"][usize::from(how) % 4];
        let prefix = if how & 4 == 0 { "" } else { "/t/acme" };
        let shown = if how & 8 == 0 {
            ""
        } else {
            "sec-fetch-dest: document\r\nsec-fetch-mode: navigate\r\nsec-fetch-site: none\r\n"
        };
        let body = if method == "POST" { "content-length: 4\r\nexpect: 100-continue\r\n\r\nbody" } else { "\r\n" };
        let text = format!(
            "{method} {prefix}/api/public/v1/decks/ HTTP/1.1\r\nhost: localhost:3539\r\nx-flexslot-tenant: acme\r\n{shown}te: trailers\r\n\
             connection: close, te\r\n{body}"
        );
        let rewrites = [None, Some(Bodies::Untouched), Some(Bodies::Json), None][usize::from(how >> 4) % 4];
        Self { text, to_head: method == "HEAD", rewrites }
    }
}

/// The upstream's bytes in pieces, and whether it closes behind them.
fn script(how: u8, bytes: &[u8]) -> Script {
    let mut parts = Vec::new();
    let longest = [bytes.len() + 1, 40, 5, 1][usize::from(how) % 4];
    for piece in Dice::of(bytes).cut(bytes, longest) {
        parts.push(Part::Bytes(piece.to_vec()));
        if how & 4 != 0 {
            parts.push(Part::Wait(Duration::from_millis(10)));
        }
    }
    if how & 8 != 0 {
        parts.push(Part::Close);
    }
    Script { parts, outcome: Outcome::Answered { status: 0, whole: false } }
}

fn check_fields(fields: &HeaderMap) {
    for name in NEVER {
        assert!(!fields.contains_key(name), "{name}: {fields:?}");
    }
    assert!(!fields.keys().any(|name| name.as_str().starts_with("access-control-")), "{fields:?}");
    assert!(fields.get_all("connection").iter().all(|value| value == "close" || value == "keep-alive"), "{fields:?}");
    assert_eq!(fields.get_all("flexslot-proxy-request-id").iter().count(), 1);
}

/// The one answer on a connection that has ended; `None` where there is none that is whole.
fn reply(heard: &[u8], to_head: bool) -> Option<Reply> {
    let mut at = 0;
    let (head, length) = final_head(heard, &mut at).expect("HTTP")?;
    check_fields(&head.fields);
    let reply = Reply::read(head, &heard[at + length..], to_head, true).expect("an answer that nobody can misread");
    let after = heard.len() - at - length;
    assert!(
        reply.content.length.is_none_or(|length| length == after),
        "two answers to one request: {}",
        heard.escape_ascii()
    );
    assert!(!to_head || after == 0, "{}", heard.escape_ascii());
    Some(reply).filter(|reply| !reply.broken)
}

/// Whether the upstream's bytes begin with an answer that is whole, by the simplest of readings.
fn is_plain(bytes: &[u8], to_head: bool) -> Option<(Head, Vec<u8>)> {
    let (head, length) = Head::parse(bytes).ok()??;
    let is_final = head.line.starts_with("HTTP/1.1 200 ") && !head.fields.contains_key("transfer-encoding");
    let announced: usize = head.field("content-length")?.parse().ok().filter(|_| is_final)?;
    let body = bytes.get(length..length + announced)?;
    (bytes.len() == length + announced && !to_head && head.fields.get_all("content-length").iter().count() == 1)
        .then(|| (head, body.to_vec()))
}

pub fn run(input: &[u8]) {
    let [what, how, bytes @ ..] = input else { return };
    let question = Question::of(*what);
    on_virtual_time(async {
        let world = World::new().await;
        for tenant in TENANTS {
            world.flexslot.set_pat(tenant).await;
        }
        let (upstream, mood) = (Upstream::default(), Arc::new(Mood::default()));
        let first = script(*how, bytes);
        upstream.answer_all(move |arrival| match arrival.head.field("x-next") {
            None => first.clone(),
            Some(_) => Script::say(200, "x-answer: next\r\n", NEXT),
        });
        let sidecar = world.sidecar(0, &Clockwork::new(), &mood, &upstream, question.rewrites).await;
        let connection = sidecar.call();
        connection.say(question.text.clone());
        let heard_first = heard(&connection).await;
        let first = reply(&heard_first, question.to_head);
        if let Some(first) = &first
            && first.head.field("proxy-status").is_some_and(|status| status.contains("error="))
            && !bytes.windows(12).any(|window| window.eq_ignore_ascii_case(b"proxy-status"))
        {
            let is_ours = || first.problem().is_some_and(|code| code.starts_with("upstream_"));
            assert!(question.to_head || is_ours(), "{first:?}");
        }
        if let (Some((head, body)), None) = (is_plain(bytes, question.to_head), question.rewrites) {
            // What hyper cannot read is no answer either; what is passed on is passed on as it is.
            if let Some(first) = first.filter(|first| first.head.status() == 200) {
                assert_eq!(first.content.data, body, "{head:?}");
            }
        }
        // Nothing that the upstream said without having been asked is taken for what is asked now.
        sleep(Duration::from_secs(1)).await;
        let connection = sidecar.call();
        connection.say(
            "GET /api/public/v1/cards/ HTTP/1.1\r\nhost: localhost:3539\r\nx-flexslot-tenant: beta\r\nx-next: 1\r\nconnection: close\r\n\r\n",
        );
        let heard_next = heard(&connection).await;
        let next = reply(&heard_next, false).expect("an answer to the next request");
        assert_eq!((next.head.status(), &next.content.data[..]), (200, NEXT), "{next:?}");
        assert_eq!(upstream.fault(), None);
        // Nobody knows what the upstream's bytes are made of; its answers have no credential that it was not told.
        let told = bytes.windows(6).any(|window| window == b"SECRET");
        if !told {
            has_no_secret(&heard_first);
            has_no_secret(&heard_next);
        }
    });
}
