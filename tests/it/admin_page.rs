//! The connections page without a browser: who gets to see it, and what its forms may do.

use flexslot_proxy::model::GrantState;
use http::Method;

use crate::support::{Call, GrantOf, Reply, World};

const FORM: &str = "application/x-www-form-urlencoded";

/// A browser that has signed in, as far as the sidecar can tell.
struct Visitor {
    cookie: String,
}

impl Visitor {
    /// Signs in by a link.
    async fn new(world: &World) -> Self {
        let link = world.api(Method::POST, "/v1/sign-in-links").send().await.is(201).json();
        let path = link["url"].as_str().unwrap().splitn(4, '/').nth(3).unwrap().to_owned();
        let reply = world.admin(&format!("/{path}")).send().await;
        reply.is(303);
        Self { cookie: set_cookie(&reply) }
    }

    async fn get(&self, world: &World, target: &str) -> Reply {
        world.admin(target).header("cookie", &self.cookie).send().await
    }

    fn post(&self, world: &World, target: &str, form: &str) -> Call {
        let call = world.admin(target).method(Method::POST).header("cookie", &self.cookie);
        call.header("content-type", FORM).body(form.to_owned())
    }

    /// What the forms of this visitor's pages carry.
    async fn csrf(&self, world: &World) -> String {
        let page = self.get(world, "/").await;
        let text = page.is(200).text().to_owned();
        text.split("name=\"csrf\" value=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a token").to_owned()
    }
}

/// Name and value of the one cookie that an answer sets.
fn set_cookie(reply: &Reply) -> String {
    reply.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie").to_owned()
}

async fn is_connected(world: &World, tenant: &str) -> bool {
    matches!(world.stored(tenant).await.grant, GrantState::Connected(_))
}

#[tokio::test]
async fn strangers_are_told_how_to_sign_in_and_nothing_else() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    let nobody = Visitor { cookie: "flexslot-proxy-session-3540=1.x.y".to_owned() };
    for reply in [
        nobody.get(&world, "/").await,
        nobody.get(&world, "/disconnect?tenant=acme").await,
        nobody.post(&world, "/connect", "tenant=acme").send().await,
        nobody.post(&world, "/disconnect", "tenant=acme").send().await,
    ] {
        let text = reply.is(401).text();
        assert!(text.contains("flexslot-proxy page") && !text.contains("acme"), "{text}");
    }
    assert!(is_connected(&world, "acme").await);
    world.finish().await;
}

#[tokio::test]
async fn a_form_that_is_not_of_this_session_changes_nothing() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    let (visitor, other) = (Visitor::new(&world).await, Visitor::new(&world).await);
    let others = format!("tenant=acme&csrf={}", other.csrf(&world).await);
    for form in ["tenant=acme", "tenant=acme&csrf=", "tenant=acme&csrf=guess", others.as_str()] {
        for target in ["/disconnect", "/connect", "/sign-out"] {
            let reply = visitor.post(&world, target, form).send().await;
            assert_eq!((reply.status, reply.header("set-cookie")), (403, None), "{target} {form}");
        }
    }
    visitor.get(&world, "/disconnect?tenant=acme&csrf=x").await.is(200);
    assert!(is_connected(&world, "acme").await, "to ask changes nothing");
    world.finish().await;
}

#[tokio::test]
async fn connecting_opens_a_session_and_leads_to_it() {
    let world = World::start().await;
    let visitor = Visitor::new(&world).await;
    let csrf = visitor.csrf(&world).await;
    let reply = visitor.post(&world, "/connect", &format!("tenant=acme&csrf={csrf}")).send().await;
    let link = reply.is(303).header("location").unwrap();
    assert!(link.contains("/connect/"), "{link}");
    let reply = visitor.post(&world, "/connect", &format!("tenant=%3Cb%3E&csrf={csrf}")).send().await;
    let text = reply.is(422).text();
    assert!(text.contains("not the name of a tenant") && !text.contains("<b>"), "{text}");
    world.finish().await;
}

#[tokio::test]
async fn what_came_of_a_disconnect_is_told_once() {
    let world = World::start().await;
    world.tenant("acme").with_grant(GrantOf::an_hour()).await;
    let visitor = Visitor::new(&world).await;
    let form = format!("tenant=acme&state=connected&csrf={}", visitor.csrf(&world).await);
    let reply = visitor.post(&world, "/disconnect", &form).send().await;
    assert_eq!(reply.is(303).header("location"), Some("./?state=connected#result"));
    assert!(!is_connected(&world, "acme").await);

    let told = Visitor { cookie: format!("{}; {}", visitor.cookie, set_cookie(&reply)) };
    let page = told.get(&world, "/?state=connected").await;
    assert!(page.is(200).text().contains("</strong> is disconnected from Flexslot."), "{}", page.text());
    assert!(page.header("set-cookie").unwrap().contains("=; Path=/; Max-Age=0"), "{:?}", page.headers);
    assert!(!visitor.get(&world, "/").await.text().contains("is disconnected"));
    world.finish().await;
}

#[tokio::test]
async fn no_page_shows_a_secret_or_runs_anything() {
    let world = World::start().await;
    let grant = GrantOf::an_hour();
    world.tenant("acme").with_grant(grant).await;
    let pat = world.tenant("acme").with_pat().await;
    let tokens = match world.stored("acme").await.grant {
        GrantState::Connected(grant) => grant.tokens,
        other => panic!("{other:?}"),
    };
    let visitor = Visitor::new(&world).await;
    for target in ["/", "/?state=connected", "/disconnect?tenant=acme", "/disconnect?tenant=%20"] {
        let page = visitor.get(&world, target).await;
        for secret in [&tokens.access, &tokens.refresh, &pat] {
            assert!(!page.text().contains(secret.expose()), "{target}");
        }
        let policy = page.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{target}: {policy}");
        assert!(!page.text().contains("<script") && !page.text().contains(" style=\""), "{target}");
        assert_eq!(page.header("cache-control"), Some("no-store"), "{target}");
    }
    world.finish().await;
}
