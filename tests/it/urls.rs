//! Redirects are not followed, and URLs of the upstream's come back as the caller's own.

use http::Method;

use crate::support::{Reply, Upstream, World};

async fn location(answer: &str, target: &str, config: &str) -> Option<String> {
    let upstream = Upstream::saying(answer).await;
    let world = World::plan().upstream(&upstream).config(config).start().await;
    world.tenant("acme").with_this_pat("p").await;
    let reply: Reply = world.target(Method::GET, target).tenant("acme").send().await;
    let told = reply.header("location").map(|location| location.replace(&world.address().to_string(), "SIDECAR"));
    assert_eq!(upstream.seen().len(), 1, "redirects are never followed");
    world.finish().await;
    told.map(|location| location.replace(&upstream.origin, "UPSTREAM"))
}

fn moved(location: &str) -> String {
    format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
}

const PLAIN: &str = "/api/public/v1/decks";
const PREFIXED: &str = "/t/acme/api/public/v1/decks";

#[tokio::test]
async fn an_absolute_location_of_the_upstream_becomes_the_callers() {
    let world = World::start().await;
    world.tenant("acme").with_pat().await;
    let host = world.address();
    let plain = world.get("/decks?page=1").tenant("acme").send().await;
    assert_eq!(plain.is(301).header("location"), Some(&*format!("http://{host}/api/public/v1/decks/?page=1")));
    let prefixed = world.target(Method::GET, PREFIXED).header("host", "localhost:4000").send().await;
    assert_eq!(prefixed.header("location"), Some("http://localhost:4000/t/acme/api/public/v1/decks/"));
    assert_eq!(world.seen().len(), 2, "redirects are never followed");
    world.finish().await;
}

#[tokio::test]
async fn a_path_absolute_location_keeps_the_callers_prefix() {
    let answer = moved("/api/public/v1/decks/?x=1");
    assert_eq!(location(&answer, PREFIXED, "").await.as_deref(), Some("/t/acme/api/public/v1/decks/?x=1"));
    assert_eq!(location(&answer, PLAIN, "").await.as_deref(), Some("/api/public/v1/decks/?x=1"));
}

#[tokio::test]
async fn locations_of_other_origins_and_relative_ones_stay() {
    for other in ["https://flexslot.gg/login", "decks/", "?page=2", "http://127.0.0.1:1/x", "//other.example/x"] {
        assert_eq!(location(&moved(other), PREFIXED, "").await.as_deref(), Some(other));
    }
}

#[tokio::test]
async fn rewriting_can_be_switched_off() {
    let answer = moved("/api/public/v1/decks/");
    let told = location(&answer, PREFIXED, "server.rewrite_urls = \"off\"").await;
    assert_eq!(told.as_deref(), Some("/api/public/v1/decks/"));
}

#[tokio::test]
async fn pages_of_a_list_lead_on_through_the_sidecar() {
    let world = World::with("server.rewrite_urls = \"bodies\"").await;
    world.tenant("acme").with_pat().await;
    for name in ["Second", "Third", "Fourth"] {
        world.sandbox.add_deck("acme", name);
    }
    let mut target = "/t/acme/api/public/v1/decks/?page_size=1".to_owned();
    let mut seen = Vec::new();
    loop {
        let page = world.target(Method::GET, &target).header("accept-encoding", "gzip, br").send().await;
        let document = page.is(200).json();
        seen.push(document["results"][0]["name"].as_str().unwrap().to_owned());
        assert_eq!(page.header("content-length"), None, "it is not known before the end");
        let Some(next) = document["next"].as_str() else { break };
        let here = format!("http://{}", world.address());
        target = next.strip_prefix(&here).unwrap_or_else(|| panic!("{next} leads away")).to_owned();
    }
    assert!(seen.len() > 3 && seen[0] != seen[1], "{seen:?}");
    for seen in world.seen() {
        let codings: Vec<_> = seen.headers.iter().filter(|(name, _)| name == "accept-encoding").collect();
        assert_eq!(codings.len(), 1, "{codings:?}");
        assert_eq!(codings[0].1, "identity");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_tag_that_a_caller_was_given_still_guards_its_update() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: \"1\"\r\nContent-Length: 2\r\n\r\n{}";
    let upstream = Upstream::saying(answer).await;
    let world = World::plan().upstream(&upstream).config("server.rewrite_urls = \"bodies\"").start().await;
    world.tenant("acme").with_this_pat("p").await;
    let got = world.get("/decks/1/").tenant("acme").header("range", "bytes=1-").send().await;
    assert_eq!(got.is(200).header("etag"), Some("W/\"1\""));
    let put = world.call(Method::PUT, "/decks/1/").tenant("acme").header("if-match", "W/\"1\"").body("{}");
    put.send().await.is(200);
    let seen = upstream.seen();
    assert!(!seen[0].head.to_lowercase().contains("range:"), "{}", seen[0].head);
    assert!(seen[1].head.to_lowercase().contains("if-match: \"1\"\r\n"), "{}", seen[1].head);
    world.finish().await;
}

#[tokio::test]
async fn a_body_that_is_not_whole_json_passes_byte_for_byte() {
    let body = "{\"next\":\"UPSTREAM/api/public/v1/decks/\"}";
    for (status, head) in [
        ("206 Partial Content", "Content-Type: application/json\r\n"),
        ("200 OK", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n"),
        ("200 OK", "Content-Type: text/plain\r\n"),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\n{head}ETag: \"1\"\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        let upstream = Upstream::saying(answer).await;
        let config = "server.rewrite_urls = \"bodies\"";
        let world = World::plan().upstream(&upstream).config(config).start().await;
        world.tenant("acme").with_this_pat("p").await;
        let reply = world.get("/decks/").tenant("acme").send().await;
        assert_eq!((reply.text(), reply.header("etag")), (body, Some("\"1\"")), "{head}");
        assert_eq!(reply.header("content-length"), Some(&*body.len().to_string()), "{head}");
        world.finish().await;
    }
}

#[tokio::test]
async fn content_location_and_links_are_rewritten_too() {
    let world = World::start().await;
    world.tenant("acme").with_pat().await;
    world.sandbox.add_deck("acme", "Second");
    let host = world.address();
    let page = world.target(Method::GET, "/t/acme/api/public/v1/decks/?page_size=1").send().await;
    let next = format!("<http://{host}/t/acme/api/public/v1/decks/?page=2&page_size=1>; rel=\"next\"");
    assert_eq!(page.is(200).header("link"), Some(&*next));
    let bodies_stay = page.json()["next"].as_str().unwrap().starts_with(world.sandbox.origin());
    assert!(bodies_stay, "{page:?}");
    world.finish().await;
    let upstream =
        Upstream::saying("HTTP/1.1 200 OK\r\nContent-Location: /api/public/v1/decks/1\r\nContent-Length: 0\r\n\r\n")
            .await;
    let world = World::before(&upstream).await;
    world.tenant("acme").with_this_pat("p").await;
    let reply = world.target(Method::GET, PREFIXED).send().await;
    assert_eq!(reply.header("content-location"), Some("/t/acme/api/public/v1/decks/1"));
    world.finish().await;
}
