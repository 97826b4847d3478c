//! Who may use the admin listener.

use http::Method;

use crate::support::{ADMIN_TOKEN, World};

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
