//! Where browsers come from, and by which name they reach the sidecar.

use http::Method;
use url::form_urlencoded::byte_serialize;

use super::{callback, connect, home, link, register, session_of, world, world_with};
use crate::support::{Browser, World};

const BEHIND_AN_APP: &str = "admin.public_url = \"https://app.example.com/flexslot\"";

/// A sidecar behind an app's web server, and the path of a link there.
async fn behind_an_app() -> (World, String) {
    let world = world_with(BEHIND_AN_APP).await;
    register(&world, "https://app.example.com/flexslot/oauth/callback");
    let link = link(&world).await;
    let path = format!("/connect/{}", session_of(&link).expose());
    (world, path)
}

#[tokio::test]
async fn a_link_by_another_name_leads_home_before_a_cookie_is_set() {
    let world = world().await;
    let link = link(&world).await;
    let elsewhere = link.replace("127.0.0.1", "localhost");
    let mut browser = Browser::new();
    let lost = browser.look(&elsewhere).await;
    assert_eq!(lost.reply.is(307).header("location"), Some(link.as_str()));
    assert_eq!(lost.reply.header("set-cookie"), None);
    let path = link.strip_prefix(&home(&world)).unwrap();
    let pressed = world.admin(path).method(Method::POST).header("host", "localhost").send().await;
    assert_eq!(pressed.is(303).header("location"), Some(link.as_str()));
    assert_eq!(pressed.header("set-cookie"), None);
    connect(&mut browser, &elsewhere).await.says(200, &["Connected to Flexslot as @george"]);
    world.finish().await;
}

#[tokio::test]
async fn what_is_no_link_does_not_become_a_redirect() {
    let world = world().await;
    let reply = world.admin("/connect/a%0d%0aSet-Cookie:%20x=y").header("host", "localhost").send().await;
    assert_eq!(reply.is(404).header("location"), None);
    world.finish().await;
}

#[tokio::test]
async fn the_cookie_is_its_flows_own_and_under_https_secure() {
    let world = world().await;
    let link = link(&world).await;
    let path = link.strip_prefix(&home(&world)).unwrap();
    let reply = world.admin(path).method(Method::POST).send().await;
    let cookie = reply.is(303).header("set-cookie").unwrap();
    let (name, rest) = cookie.split_once('=').unwrap();
    let (value, attributes) = rest.split_once("; ").unwrap();
    let port = world.admin_address().port();
    let hash = name.strip_prefix(&format!("flexslot-connect-{port}-")).unwrap_or_else(|| panic!("{name}"));
    assert!(hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_hexdigit()), "{hash}");
    assert_eq!((value.len(), attributes), (43, "Path=/; Max-Age=600; HttpOnly; SameSite=Lax"));
    world.finish().await;

    let (world, path) = behind_an_app().await;
    let reply = world.admin(&path).method(Method::POST).header("host", "app.example.com").send().await;
    let cookie = reply.is(303).header("set-cookie").unwrap();
    assert!(
        cookie.starts_with("__Host-flexslot-connect-443-") && cookie.ends_with("; SameSite=Lax; Secure"),
        "{cookie}"
    );
    world.finish().await;
}

#[tokio::test]
async fn an_apps_web_server_may_leave_the_path_and_the_host_as_they_are() {
    let (world, path) = behind_an_app().await;
    for path in [path.clone(), format!("/flexslot{path}")] {
        let get = world.admin(&path).header("host", "app.example.com").header("sec-fetch-site", "same-origin");
        get.send().await.is(200);
        let post = world.admin(&path).method(Method::POST).header("host", "app.example.com");
        let reply = post.header("origin", "https://app.example.com").send().await;
        let to = reply.is(303).header("location").unwrap();
        assert!(to.contains("redirect_uri=https%3A%2F%2Fapp.example.com%2Fflexslot%2Foauth%2Fcallback&"), "{to}");
        let (cookie, state) = (reply.header("set-cookie").unwrap(), to.split_once("&state=").unwrap().1);
        let cookie = cookie.split_once(';').unwrap().0;
        let state = state.split_once('&').unwrap().0;
        let back = format!("/flexslot/oauth/callback?error=access_denied&state={state}&iss={}", issuer(&world));
        let back = world.admin(&back).header("host", "app.example.com").header("cookie", cookie).send().await;
        assert!(back.is(403).text().contains("href=\"/flexslot/connect/"), "{}", back.text());
    }
    world.admin("/flexslot/metrics").header("host", "app.example.com").send().await.is_problem(404, "not_found");
    world.finish().await;
}

#[tokio::test]
async fn a_web_server_that_names_another_host_makes_no_loop() {
    let (world, path) = behind_an_app().await;
    let lost = world.admin(&path).send().await;
    let home = format!("https://app.example.com/flexslot{path}?home");
    assert_eq!(lost.is(307).header("location"), Some(home.as_str()));
    let query = format!("{path}?home");
    world.admin(&query).send().await.is(200);
    world.admin(&query).method(Method::POST).header("origin", "https://app.example.com").send().await.is(303);
    world.finish().await;
}

#[tokio::test]
async fn strange_hosts_stay_strange() {
    let (world, path) = behind_an_app().await;
    world.admin(&path).header("host", "evil.example").send().await.is_problem(421, "host_denied");
    world.admin(&path).header("origin", "https://evil.example").send().await.is_problem(403, "origin_denied");
    let framed = world.admin(&path).header("host", "app.example.com").header("sec-fetch-site", "cross-site");
    framed
        .header("sec-fetch-mode", "navigate")
        .header("sec-fetch-dest", "iframe")
        .send()
        .await
        .is_problem(403, "origin_denied");
    world.finish().await;
}

#[tokio::test]
async fn a_new_configuration_holds_for_the_next_link() {
    let mut world = world().await;
    world.reload("admin.public_url = \"https://app.example.com\"").await;
    let link = link(&world).await;
    let path = link.strip_prefix(&home(&world)).unwrap();
    let page = world.admin(path).header("host", "app.example.com").send().await;
    assert!(page.is(200).text().contains("https://app.example.com/oauth/callback"), "{}", page.text());
    assert!(callback(&world).starts_with("http://127.0.0.1"));
    world.finish().await;
}

/// The sandbox's origin as a query has it.
fn issuer(world: &World) -> String {
    byte_serialize(world.sandbox.origin().as_bytes()).collect()
}
