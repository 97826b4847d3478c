//! Who may use the admin listener.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use flexslot_proxy::model::Secret;
use hmac::{Hmac, KeyInit, Mac};
use http::Method;
use sha2::Sha256;

use crate::support::{ADMIN_TOKEN, Reply, World};

/// Every route of the API that wants a caller who may call.
const GUARDED: [(Method, &str); 11] = [
    (Method::GET, "/v1/tenants"),
    (Method::GET, "/v1/tenants/acme"),
    (Method::DELETE, "/v1/tenants/acme"),
    (Method::PUT, "/v1/tenants/acme/pat"),
    (Method::DELETE, "/v1/tenants/acme/pat"),
    (Method::PUT, "/v1/tenants/acme/grant"),
    (Method::POST, "/v1/tenants/acme/connect-sessions"),
    (Method::POST, "/v1/tenants/acme/disconnect"),
    (Method::POST, "/v1/connect-sessions/x/complete"),
    (Method::POST, "/v1/sign-in-links"),
    (Method::GET, "/v1/tenants?limit=0"),
];

#[tokio::test]
async fn the_api_is_for_whoever_has_the_admin_token() {
    let world = World::start().await;
    world.tenant("acme").with_pat().await;
    for (method, target) in GUARDED {
        let call = || world.admin(target).method(method.clone());
        let reply = call().send().await;
        reply.is_problem(401, "unauthorized");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer realm=\"flexslot-proxy\""), "{target}");
        assert_eq!(reply.header("cache-control"), Some("no-store"), "{target}");
        for wrong in [
            "Bearer wrong",
            "Bearer",
            "Bearer ",
            "Basic YWRtaW46YWRtaW4=",
            ADMIN_TOKEN,
            &format!("Basic {ADMIN_TOKEN}"),
            &format!("Bearer {ADMIN_TOKEN}x"),
        ] {
            call().header("authorization", wrong).send().await.is_problem(401, "unauthorized");
        }
        let twice = call().header("authorization", &format!("Bearer {ADMIN_TOKEN}"));
        twice.header("authorization", "Bearer other").send().await.is_problem(401, "unauthorized");
        call().header("proxy-authorization", &format!("Bearer {ADMIN_TOKEN}")).send().await.is(401);
    }
    let spaced = world.admin("/v1/tenants").header("authorization", &format!("bearer  {ADMIN_TOKEN}"));
    spaced.send().await.is(200);
    world.finish().await;
}

/// What a browser does with a link: a session of its own, and the CSRF token that its page carries.
struct SignedIn {
    cookie: String,
    csrf: String,
}

async fn link(world: &World) -> String {
    let reply = world.api(Method::POST, "/v1/sign-in-links").send().await;
    let url = reply.is(201).json()["url"].as_str().unwrap().to_owned();
    let path = url.strip_prefix(&format!("http://{}", world.admin_address())).expect("by the name that was called");
    path.to_owned()
}

/// `name=value` of the cookie that an answer sets.
fn cookie(reply: &Reply) -> String {
    reply.header("set-cookie").expect("a cookie").split(';').next().unwrap().to_owned()
}

async fn csrf(world: &World, cookie: &str) -> String {
    let page = world.admin("/").header("cookie", cookie).send().await;
    let (_, field) = page.is(200).text().split_once("name=\"csrf\" value=\"").expect("a form");
    field.split('"').next().unwrap().to_owned()
}

async fn sign_in(world: &World) -> SignedIn {
    let reply = world.admin(&link(world).await).send().await;
    assert_eq!((reply.is(303).header("location"), reply.header("cache-control")), (Some("/"), Some("no-store")));
    let cookie = cookie(&reply);
    let csrf = csrf(world, &cookie).await;
    SignedIn { cookie, csrf }
}

async fn world() -> World {
    let world = World::start().await;
    world.tenant("acme").with_pat().await;
    world
}

#[tokio::test]
async fn a_link_signs_one_browser_in_once() {
    let world = world().await;
    let path = link(&world).await;
    world.admin(&path).method(Method::HEAD).send().await.is(200);
    world.admin(&path).header("sec-purpose", "prefetch").send().await.is(204);
    let first = world.admin(&path).send().await;
    let set = first.is(303).header("set-cookie").unwrap().to_owned();
    let port = world.admin_address().port();
    assert!(set.starts_with(&format!("flexslot-proxy-session-{port}=")), "{set}");
    assert!(set.ends_with("; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax"), "{set}");
    let second = world.admin(&path).send().await;
    assert!(second.is(410).text().contains("This link cannot be used any more"), "{}", second.text());
    assert_eq!(second.header("set-cookie"), None);
    let again = world.admin(&path).header("cookie", &cookie(&first)).send().await;
    assert_eq!(again.is(303).header("set-cookie"), None, "a browser that went back is simply led on");
    for nobody in ["/sign-in/x", "/sign-in/%ff"] {
        assert!(world.admin(nobody).send().await.status >= 400);
    }
    world.finish().await;
}

#[tokio::test]
async fn of_two_browsers_with_one_link_one_gets_in() {
    let world = world().await;
    let path = link(&world).await;
    let (one, other) = tokio::join!(world.admin(&path).send(), world.admin(&path).send());
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [303, 410]);
    world.finish().await;
}

#[tokio::test]
async fn a_cookie_counts_with_the_csrf_token_of_its_session_alone() {
    let world = world().await;
    let (one, other) = (sign_in(&world).await, sign_in(&world).await);
    let call = |method, target| world.admin(target).method(method).header("cookie", &one.cookie);
    for (method, target) in GUARDED.into_iter().take(3) {
        call(method.clone(), target).send().await.is_problem(403, "csrf_failed");
        for wrong in ["", "x", &other.csrf, one.cookie.rsplit_once('.').unwrap().1] {
            call(method.clone(), target).header("x-csrf-token", wrong).send().await.is_problem(403, "csrf_failed");
        }
    }
    let crowded = format!("theme=dark; {}; x=1", one.cookie);
    let call = world.admin("/v1/tenants").header("cookie", &crowded).header("x-csrf-token", &one.csrf);
    call.send().await.is(200);
    let name = one.cookie.split('=').next().unwrap();
    for strange in ["", "x.y.z", "99999999999.x.y"] {
        let call = world.admin("/v1/tenants").header("cookie", &format!("{name}={strange}"));
        call.header("x-csrf-token", &one.csrf).send().await.is_problem(401, "unauthorized");
    }
    let planted = format!("{name}=x.y.z; {}", one.cookie);
    let call = world.admin("/v1/tenants").header("cookie", &planted).header("x-csrf-token", &one.csrf);
    call.send().await.is(200);
    world.finish().await;
}

#[tokio::test]
async fn a_wrong_token_is_not_mended_by_a_cookie() {
    let world = world().await;
    let SignedIn { cookie, csrf } = sign_in(&world).await;
    let call = world.admin("/v1/tenants").header("cookie", &cookie).header("x-csrf-token", &csrf);
    call.header("authorization", "Bearer wrong").send().await.is_problem(401, "unauthorized");
    world.finish().await;
}

#[tokio::test]
async fn links_are_made_with_the_token_alone() {
    let world = world().await;
    let SignedIn { cookie, csrf } = sign_in(&world).await;
    let call = world.admin("/v1/sign-in-links").method(Method::POST).header("cookie", &cookie);
    call.header("x-csrf-token", &csrf).send().await.is_problem(401, "unauthorized");
    world.finish().await;
}

#[tokio::test]
async fn whoever_has_not_signed_in_is_told_how() {
    let world = world().await;
    let page = world.admin("/").send().await;
    assert!(page.is(401).text().contains("flexslot-proxy page"), "{}", page.text());
    assert!(!page.text().contains("acme"));
    world.finish().await;
}

#[tokio::test]
async fn signing_out_takes_the_cookie_away_and_no_other_site_can_do_it() {
    let world = world().await;
    let SignedIn { cookie, csrf } = sign_in(&world).await;
    let out = |body: String| {
        let call = world.admin("/sign-out").method(Method::POST).header("cookie", &cookie);
        call.header("content-type", "application/x-www-form-urlencoded").body(body)
    };
    out(String::new()).send().await.is_problem(403, "csrf_failed");
    out("csrf=x".into()).send().await.is_problem(403, "csrf_failed");
    let reply = out(format!("csrf={csrf}")).send().await;
    assert_eq!(reply.is(303).header("location"), Some("/"));
    let cleared = reply.header("set-cookie").unwrap();
    assert!(cleared.contains("=; Path=/; Max-Age=0;"), "{cleared}");
    world.admin("/sign-out").method(Method::POST).send().await.is(303);
    world.finish().await;
}

#[tokio::test]
async fn a_copied_cookie_is_worth_nothing_after_the_sign_out_on_any_sidecar_of_the_store() {
    let mut world = World::with("store.url = \"sqlite:store.db\"").await;
    let (gone, stays) = (sign_in(&world).await, sign_in(&world).await);
    let call = |world: &World, of: &SignedIn| {
        let name = format!("flexslot-proxy-session-{}", world.admin_address().port());
        let cookie = format!("{name}={}", of.cookie.split_once('=').unwrap().1);
        world.admin("/v1/tenants").header("cookie", &cookie).header("x-csrf-token", &of.csrf)
    };
    let out = world.admin("/sign-out").method(Method::POST).header("cookie", &gone.cookie);
    let out = out.header("content-type", "application/x-www-form-urlencoded").body(format!("csrf={}", gone.csrf));
    out.send().await.is(303);
    call(&world, &gone).send().await.is_problem(401, "unauthorized");
    world.admin("/").header("cookie", &gone.cookie).send().await.is(401);
    call(&world, &stays).send().await.is(200);
    world.restart().await;
    call(&world, &gone).send().await.is_problem(401, "unauthorized");
    call(&world, &stays).send().await.is(200);
    world.finish().await;
}

/// Made as the sidecar makes it for a browser of this user.
fn session_of(user: &str) -> String {
    let claim = format!("99999999999.{user}.nonce");
    let mut mac = Hmac::<Sha256>::new_from_slice(ADMIN_TOKEN.as_bytes()).unwrap();
    mac.update(b"flexslot-proxy page session\0");
    mac.update(claim.as_bytes());
    format!("{claim}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

/// Another server on this host is sent the cookie by the browser, whatever its port.
#[tokio::test]
async fn a_cookie_is_of_no_use_to_another_user_of_the_host() {
    let world = world().await;
    let us = rustix::process::geteuid().as_raw();
    for (user, status) in [(us.to_string(), 200), ((us + 1).to_string(), 401), ("-".to_owned(), 401)] {
        let session = session_of(&user);
        let link = world.store.open_sign_in().await.unwrap();
        let visit = Secret::new(&*session);
        assert!(world.store.take_sign_in(link.token.expose(), &visit, Duration::from_secs(60)).await.unwrap());
        let cookie = format!("flexslot-proxy-session-{}={session}", world.admin_address().port());
        world.admin("/").header("cookie", &cookie).send().await.is(status);
    }
    assert!(sign_in(&world).await.cookie.contains(&format!(".{us}.")), "whose browser it is");
    world.finish().await;
}

#[tokio::test]
async fn without_the_store_nobody_knows_who_has_signed_in() {
    let world = World::plan().frail().start().await;
    world.tenant("acme").with_pat().await;
    let SignedIn { cookie, csrf } = sign_in(&world).await;
    world.frailty.out_of_reach();
    let page = world.admin("/").header("cookie", &cookie).send().await;
    assert!(page.is(503).text().contains("The store is out of reach"), "{}", page.text());
    let call = world.admin("/v1/tenants").header("cookie", &cookie).header("x-csrf-token", &csrf);
    call.send().await.is_problem(503, "store_unavailable");
    world.admin("/").header("cookie", "flexslot-proxy-session-1=x").send().await.is(401);
    world.frailty.back();
    world.admin("/").header("cookie", &cookie).send().await.is(200);
    world.finish().await;
}

#[tokio::test]
async fn every_sidecar_of_the_store_with_the_same_token_takes_a_session_and_a_new_token_ends_it() {
    let plan = World::plan().variable("OTHER_TOKEN", "another-token");
    let mut world = plan.config("store.url = \"sqlite:store.db\"").start().await;
    let SignedIn { cookie, csrf } = sign_in(&world).await;
    let (_, value) = cookie.split_once('=').unwrap();
    world.restart().await;
    let elsewhere = format!("flexslot-proxy-session-{}={value}", world.admin_address().port());
    let call = |world: &World| world.admin("/v1/tenants").header("cookie", &elsewhere).header("x-csrf-token", &csrf);
    call(&world).send().await.is(200);
    world.reload("admin.token = { env = \"OTHER_TOKEN\" }").await;
    call(&world).send().await.is_problem(401, "unauthorized");
    world.api(Method::GET, "/v1/tenants").send().await.is_problem(401, "unauthorized");
    world.admin("/v1/tenants").header("authorization", "Bearer another-token").send().await.is(200);
    world.finish().await;
}

#[tokio::test]
async fn behind_a_web_server_a_browser_comes_to_the_page_below_its_path_and_its_cookie_is_for_https_alone() {
    let world = World::with("admin.public_url = \"https://app.example.com/flexslot\"").await;
    let link = world.api(Method::POST, "/v1/sign-in-links").header("host", "app.example.com").send().await;
    let url = link.is(201).json()["url"].as_str().unwrap().to_owned();
    let path = url.strip_prefix("https://app.example.com/flexslot").expect("where browsers reach it");
    let reply = world.admin(path).header("host", "app.example.com").send().await;
    let set = reply.is(303).header("set-cookie").unwrap();
    assert!(set.starts_with("__Host-flexslot-proxy-session-") && set.ends_with("; SameSite=Lax; Secure"), "{set}");
    assert_eq!(reply.header("location"), Some("/flexslot/"));
    let page = |cookie: &str| world.admin("/").header("host", "app.example.com").header("cookie", cookie);
    page(&cookie(&reply)).send().await.is(200);
    let planted = cookie(&reply).replace("__Host-", "");
    assert_eq!(page(&planted).send().await.status, 401, "a neighbour below the domain can set one of that name");
    world.finish().await;
}
