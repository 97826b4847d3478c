//! The bytes of a caller's connection against a whole sidecar: whatever comes, the upstream reads well-formed requests with
//! the PAT of a tenant that was named, each of them has an answer, and no answer has a credential in it.
//!
//! Input: the bytes. They come in pieces.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;

use super::{
    bytes::Dice,
    message::Head,
    stage::{
        AUTHORITY, Clockwork, TENANTS, World,
        caller::{Connection, Reply, final_head, has_no_secret},
        flexslot::Credential,
        on_virtual_time, settle,
        store::Mood,
        upstream::{Arrival, Script, Upstream},
    },
};

/// Longer than any limit of a connection.
const LONG: Duration = Duration::from_secs(3600);

/// What never reaches an upstream.
const NEVER: [&str; 12] = [
    "cookie",
    "forwarded",
    "keep-alive",
    "origin",
    "proxy-authorization",
    "proxy-connection",
    "referer",
    "upgrade",
    "x-flexslot-tenant",
    "x-forwarded-for",
    "x-http-method-override",
    "x-real-ip",
];

fn one<'a>(head: &'a Head, name: &str) -> &'a str {
    let values: Vec<_> = head.fields.get_all(name).iter().collect();
    assert_eq!(values.len(), 1, "{name}: {head:?}");
    values[0].to_str().expect("text")
}

/// What has come to the upstream.
pub fn check_arrival(arrival: &Arrival) {
    let head = &arrival.head;
    assert!(head.line.ends_with(" HTTP/1.1") && head.line.split(' ').count() == 3, "{}", head.line);
    assert!(head.word(1).starts_with("/api/public/v1/"), "{}", head.line);
    assert!(!["CONNECT", "TRACE"].contains(&head.word(0)), "{}", head.line);
    assert_eq!(one(head, "host"), AUTHORITY);
    let credential = Credential::parse(one(head, "authorization")).expect("a credential of ours");
    assert!(TENANTS.contains(&credential.tenant()));
    assert!(
        head.fields.get_all("via").iter().next_back().is_some_and(|via| via.as_bytes().ends_with(b" flexslot-proxy"))
    );
    for name in NEVER {
        assert!(!head.fields.contains_key(name), "{name}: {head:?}");
    }
    let odd = |name: &str| name.starts_with("sec-") || name.contains('_') && name.replace('_', "-") == "content-length";
    assert!(!head.fields.keys().any(|name| odd(name.as_str())), "{head:?}");
    assert!(head.fields.get_all("connection").iter().all(|value| value == "te" || value == "TE"), "{head:?}");
}

/// Waits for the end of a connection, and says what was heard on it.
pub async fn heard(connection: &Connection) -> Vec<u8> {
    let ended = async {
        while !connection.has_ended() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    timeout(LONG, ended).await.expect("nothing waits for ever");
    connection.bytes()
}

pub fn run(input: &[u8]) {
    on_virtual_time(async {
        let world = World::new().await;
        for tenant in TENANTS {
            world.flexslot.set_pat(tenant).await;
        }
        let (upstream, mood) = (Upstream::default(), Arc::new(Mood::default()));
        upstream.answer_all(|_| Script::say(200, "x-answer: 0\r\n", b"{}"));
        let sidecar = world.sidecar(0, &Clockwork::new(), &mood, &upstream, None).await;
        let connection = sidecar.call();
        for piece in Dice::of(input).cut(input, 1 + input.len()) {
            connection.say(piece.to_vec());
            settle().await;
        }
        let heard = heard(&connection).await;
        has_no_secret(&heard);
        assert_eq!(upstream.fault(), None);
        let arrivals = upstream.arrivals();
        arrivals.iter().for_each(check_arrival);
        if input.starts_with(b"PRI * HTTP/2.0") {
            return;
        }
        let replies = replies(&heard, &arrivals).unwrap_or_else(|fault| panic!("{fault}: {}", heard.escape_ascii()));
        for reply in replies.iter().filter(|reply| reply.head.field("x-answer").is_none()) {
            let to_head = reply.content.data.is_empty() && reply.head.field("proxy-status").is_some();
            assert!(to_head || reply.is_bare() || reply.problem().is_some(), "{reply:?}");
        }
    });
}

/// The answers on a connection that has ended. Those of the upstream belong to what it was asked, in turn; whether one of
/// the sidecar's own is an answer to HEAD, it tells by what follows it.
fn replies(heard: &[u8], arrivals: &[Arrival]) -> Result<Vec<Reply>, String> {
    let (mut at, mut forwarded, mut replies) = (0, arrivals.iter(), Vec::new());
    while let Some((head, length)) = final_head(heard, &mut at)? {
        at += length;
        let rest = &heard[at..];
        let to_head = match head.field("x-answer") {
            Some(_) => forwarded.next().ok_or("an answer that was no upstream's")?.head.word(0) == "HEAD",
            None => rest.is_empty() || rest.starts_with(b"HTTP/1."),
        };
        let reply = Reply::read(head, rest, to_head, true)?;
        at += reply.content.length.unwrap_or(rest.len());
        if reply.broken {
            return Err(format!("an answer without its end: {reply:?}"));
        }
        replies.push(reply);
    }
    if at == heard.len() { Ok(replies) } else { Err(format!("{} bytes that are no answer", heard.len() - at)) }
}
