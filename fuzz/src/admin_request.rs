//! The bytes of a connection to the admin listener: the API's bodies and queries, the forms and cookies of browsers, the
//! connect flow's callback. Whatever comes, the answer is one that is promised, runs nothing in a browser, leads it nowhere
//! that the operator has not listed, and repeats no credential.
//!
//! Input: the bytes. What only a browser can know that has been here before stands in them as `@S@` (a connect session), `@Y@`
//! and `@B@` (the state of its flow, and the cookie), `@L@` (a sign-in link), `@C@` and `@F@` (a signed-in browser's cookie, and
//! what its forms carry).

mod world;

use flexslot_proxy::{admin, proxy::error::Code};
use serde_json::Value;
use url::Url;

use self::world::{APP, HOME, ISSUER, Room, TOKEN};
use super::{
    bytes::Dice,
    message::find,
    request::heard,
    stage::{
        SECRET,
        caller::{Reply, final_head, has_no_secret},
        on_virtual_time, settle,
    },
};

/// The members whose values are credentials.
const CREDENTIALS: [&str; 6] =
    ["pat", "access_token", "refresh_token", "flexslot_pat", "flexslot_access_token", "flexslot_refresh_token"];

/// The answers on a connection that has ended. Whether one is to HEAD, it tells by what follows it.
fn replies(heard: &[u8]) -> Result<Vec<Reply>, String> {
    let (mut at, mut replies) = (0, Vec::new());
    while let Some((head, length)) = final_head(heard, &mut at)? {
        at += length;
        let rest = &heard[at..];
        let reply = Reply::read(head, rest, rest.is_empty() || rest.starts_with(b"HTTP/1."), true)?;
        at += reply.content.length.ok_or_else(|| format!("an answer without its end: {reply:?}"))?;
        replies.push(reply);
    }
    if at == heard.len() { Ok(replies) } else { Err(format!("{} bytes that are no answer", heard.len() - at)) }
}

fn check_problem(document: &Value, status: u16) {
    let code = document["code"].as_str().expect("a code");
    let ours = admin::Code::ALL.map(|code| code.problem("")).into_iter();
    let guards = Code::ALL.map(|code| code.problem("")).into_iter();
    assert!(ours.chain(guards).any(|row| row.code == code && row.status == status), "{document}");
}

fn check_page(reply: &Reply) {
    let page = String::from_utf8_lossy(&reply.content.data).to_lowercase();
    assert!(
        !["<script", "javascript:", "<iframe", "<base", " onload", " onerror"].iter().any(|evil| page.contains(evil)),
        "{page}"
    );
    let policy = reply.head.field("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
}

/// Where a browser is led.
fn check_location(location: &str) {
    let home = Url::parse(HOME).expect("a URL");
    let to = home.join(location).unwrap_or_else(|error| panic!("{location}: {error}"));
    let listed = [HOME, ISSUER, APP].map(|allowed| Url::parse(allowed).expect("a URL").origin());
    assert!(listed.contains(&to.origin()), "a browser is led to {location}");
}

fn check(reply: &Reply) {
    let status = reply.head.status();
    if reply.is_bare() {
        return;
    }
    assert_eq!(reply.head.field("x-content-type-options"), Some("nosniff"), "{reply:?}");
    assert!(status < 500 || status == 503, "{reply:?}");
    if let Some(location) = reply.head.field("location") {
        check_location(location);
    }
    let kind = reply.head.field("content-type").unwrap_or_default();
    let body = &reply.content.data;
    match kind {
        _ if body.is_empty() => {}
        "application/problem+json" => check_problem(&serde_json::from_slice(body).expect("JSON"), status),
        "application/json" => drop(serde_json::from_slice::<Value>(body).expect("JSON")),
        "text/html; charset=utf-8" => check_page(reply),
        "text/plain; version=0.0.4; charset=utf-8" => {}
        _ => panic!("what is this? {reply:?}"),
    }
}

/// Whether every secret of the input is a value that is one by its name; then none may come back.
fn hides_its_secrets(input: &[u8]) -> bool {
    let mut from = 0;
    while let Some(found) = find(&input[from..], SECRET.as_bytes()) {
        let before = String::from_utf8_lossy(&input[..from + found]).into_owned();
        let member = before.rsplit_once("\":").map(|(member, _)| member.to_owned()).unwrap_or_default();
        let is_value = before.len() - member.len() < 40 && !before[member.len() + 2..].contains([',', '}', '\n']);
        if !is_value || !CREDENTIALS.iter().any(|name| member.ends_with(&format!("\"{name}"))) {
            return false;
        }
        from += found + SECRET.len();
    }
    true
}

pub fn run(input: &[u8]) {
    on_virtual_time(async {
        let room = Room::open().await;
        let input = room.filled_in(input).await;
        let connection = room.call();
        for piece in Dice::of(&input).cut(&input, 1 + input.len()) {
            connection.say(piece.to_vec());
            settle().await;
        }
        let heard = heard(&connection).await;
        if hides_its_secrets(&input) {
            has_no_secret(&heard);
        }
        assert!(
            find(&heard, TOKEN.as_bytes()).is_none() || find(&input, TOKEN.as_bytes()).is_some(),
            "the admin token"
        );
        if input.starts_with(b"PRI * HTTP/2.0") {
            return;
        }
        let replies = replies(&heard).unwrap_or_else(|fault| panic!("{fault}: {}", heard.escape_ascii()));
        replies.iter().for_each(check);
    });
}
