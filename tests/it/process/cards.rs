//! The cards of a store with tenants in every state, as the API of a running sidecar gives them, on each engine.

use flexslot_proxy::store::{
    backend::{Change, Expect, Key, Kind},
    record::Body,
};
use http::Method;
use serde_json::Value;

use super::{
    engines::{Engine, on_each_engine},
    http::{DECKS, ask, get},
    world::{Life, World, tenant},
};
use crate::support::process::Sidecar;

const TOKEN: &str = "the-admin-token-of-these-tests";

async fn document(sidecar: &Sidecar, target: &str) -> Value {
    sidecar.api(Method::GET, target, TOKEN).send().await.is(200).json()
}

/// `tenant state serves pat` of each card of a list, page by page.
async fn listed(sidecar: &Sidecar, query: &str) -> Vec<String> {
    let text = |card: &Value, field: &str| card[field].as_str().unwrap_or("-").to_owned();
    let (mut lines, mut after) = (Vec::new(), String::new());
    loop {
        let list = document(sidecar, &format!("/v1/tenants?limit=2{query}{after}")).await;
        for card in list["tenants"].as_array().unwrap() {
            lines.push(["tenant", "state", "serves", "pat"].map(|field| text(card, field)).join(" "));
        }
        match list["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return lines,
        }
    }
}

async fn damage(world: &World, name: &str) {
    let (backend, key) = (world.backend().await, Key::new(Kind::Grant, name));
    let label = backend.get(std::slice::from_ref(&key)).await.unwrap()[0].as_ref().unwrap().label;
    let body = Body::from_stored(b"not a record".to_vec());
    let _ = backend.write(vec![Change { key, expect: Expect::Anything, label, body }]).await.unwrap();
}

async fn cards_are_listed_filtered_and_searched(engine: Engine) -> String {
    let mut world = World::on(engine).await;
    world.write_secret("admin-token", TOKEN);
    world.set("admin", "token = { file = \"admin-token\" }");
    world.write_secret("pat", "flx_pat_of_the_file");
    world.append("[[tenants]]\nname = \"b.file\"\npat = { file = \"pat\" }\n[[tenants]]\nname = \"g\"\n");
    let tenants = world.connect_all(&["a", "b", "b.revoked", "c.damaged", "d.removed", "e"], Life::Expired).await;
    for name in ["b.pat", "e"] {
        world.give_pat(name).await;
    }
    damage(&world, "c.damaged").await;
    let _ = world.store().await.remove(&tenant("d.removed")).await.unwrap();
    world.sandbox.revoke_grant(tenants[2].grant).unwrap();
    let sidecar = world.start().await;
    assert_eq!(ask(sidecar.proxy, &get(DECKS, "b.revoked")).await.code(), "reconnect_required");

    let expected = [
        "a connected oauth none",
        "b connected oauth none",
        "b.file not_connected pat ok",
        "b.pat not_connected pat ok",
        "b.revoked reconnect_required none none",
        "c.damaged error none none",
        "e connected oauth ok",
        "g not_connected none none",
    ];
    assert_eq!(listed(&sidecar, "").await, expected);
    for state in ["connected", "expiring", "reconnect_required", "not_connected", "error"] {
        let of_state: Vec<_> = expected.into_iter().filter(|line| line.contains(&format!(" {state} "))).collect();
        assert_eq!(listed(&sidecar, &format!("&state={state}")).await, of_state);
    }
    assert_eq!(listed(&sidecar, "&q=b").await, expected[1..5]);
    assert_eq!(listed(&sidecar, "&q=b.&state=not_connected").await, expected[2..4]);
    for nobody in ["zz", "%25", "b%27%3B--", "b%20", "%00", "%C3%A9", &"b".repeat(300)] {
        assert_eq!(listed(&sidecar, &format!("&q={nobody}")).await, [""; 0], "{nobody}");
    }
    let revoked = document(&sidecar, "/v1/tenants/b.revoked").await;
    assert_eq!((revoked["reason"].as_str(), revoked["action"].as_str()), (Some("invalid_grant"), Some("reconnect")));
    sidecar.api(Method::GET, "/v1/tenants/d.removed", TOKEN).send().await.is(404);
    format!("cards, {engine:?}: {} tenants in pages of two", expected.len())
}
on_each_engine!(cards_are_listed_filtered_and_searched);
