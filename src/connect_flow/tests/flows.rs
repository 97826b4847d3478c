//! Flows that come to something.

use std::{sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::timeout};

use super::{
    server::tokens,
    world::{APP, World, allowed, failed, refused, returned},
};
use crate::{
    connect_flow::{
        Outcome, Refusal,
        begin::{Look, Standing},
    },
    credential::{DisconnectOutcome, SessionOutcome},
    flexslot::TokenAnswer,
    model::Reason,
};

#[tokio::test(start_paused = true)]
async fn a_consent_becomes_the_tenants_grant() {
    let world = World::new().await;
    let walk = world.begin(&world.link().await).await;
    let outcome = world.comes_back(&walk, &allowed("c1")).await;
    let Outcome::Connected(connected) = outcome else { panic!("{outcome:?}") };
    assert_eq!(connected.tenant.as_str(), "acme");
    assert_eq!(connected.identity.unwrap().username.as_deref(), Some("george"));
    assert_eq!(connected.scopes.as_str(), Some("decks:read cards:read"));
    let redeemed = "redeem c1 43 http://127.0.0.1:3540/oauth/callback";
    assert_eq!(world.server.asked(), [redeemed, "introspect at.c1"]);
}

#[tokio::test(start_paused = true)]
async fn a_browser_that_goes_away_loses_nothing_that_flexslot_gives() {
    let world = World::new().await;
    let gate = Arc::new(Semaphore::new(0));
    *world.server.gate.lock() = Some(gate.clone());
    let walk = world.begin(&world.link().await).await;
    let answer = allowed("c1");
    let left = timeout(Duration::from_secs(1), world.comes_back(&walk, &answer)).await;
    assert!(left.is_err(), "its browser has gone");
    gate.add_permits(1);
    while world.username().await.is_none() {
        tokio::task::yield_now().await;
    }
    assert_eq!(world.username().await.as_deref(), Some("george"));
}

#[tokio::test(start_paused = true)]
async fn a_drain_waits_for_a_code_that_is_being_redeemed() {
    let world = World::new().await;
    let gate = Arc::new(Semaphore::new(0));
    *world.server.gate.lock() = Some(gate.clone());
    let walk = world.begin(&world.link().await).await;
    let answer = allowed("c1");
    let gone = timeout(Duration::from_secs(1), world.comes_back(&walk, &answer)).await;
    assert!(gone.is_err(), "its browser has gone");
    let drained = world.credentials.drain(std::future::ready(()), Duration::from_secs(25));
    tokio::pin!(drained);
    assert!(timeout(Duration::from_secs(1), &mut drained).await.is_err());
    gate.add_permits(1);
    drained.await;
    assert_eq!(world.username().await.as_deref(), Some("george"));
}

#[tokio::test(start_paused = true)]
async fn who_disconnects_while_a_code_is_redeemed_stays_disconnected() {
    let world = World::new().await;
    world.connect().await;
    let gate = Arc::new(Semaphore::new(0));
    *world.server.gate.lock() = Some(gate.clone());
    let walk = world.begin(&world.link().await).await;
    let (answer, acme) = (allowed("c2"), "acme".parse().unwrap());
    let comes_back = world.comes_back(&walk, &answer);
    tokio::pin!(comes_back);
    assert!(timeout(Duration::from_secs(1), &mut comes_back).await.is_err(), "Flexslot has not answered");
    assert_eq!(world.credentials.disconnect(&acme).await, Ok(DisconnectOutcome::Revoked));
    gate.add_permits(1);
    assert_eq!(refused(comes_back.await).why, Refusal::Overtaken);
    assert_eq!(world.username().await, None);
    // What came for the code is revoked as well; and whoever allows it from now on connects.
    world.credentials.clear_revocations(&acme).await;
    assert_eq!(world.server.asked().last().map(String::as_str), Some("revoke refresh_token rt.c2"));
    gate.add_permits(1);
    let again = world.begin(&walk.session).await;
    assert!(matches!(world.comes_back(&again, &allowed("c3")).await, Outcome::Connected(_)));
}

#[tokio::test(start_paused = true)]
async fn the_browser_is_sent_with_pkce_and_everything_that_flexslot_requires() {
    let world = World::new().await;
    let walk = world.begin(&world.link().await).await;
    let names: Vec<_> = walk.begun.url.query_pairs().map(|(name, _)| name.into_owned()).collect();
    let required =
        ["response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge", "code_challenge_method"];
    assert_eq!(names, required);
    let all = walk.begun.url.as_str();
    assert!(all.contains(walk.begun.state.expose()) && !all.contains(walk.begun.binding.expose()), "{all}");
    assert!(!all.contains(walk.session.expose()), "the link stays between us and the browser");
}

#[tokio::test(start_paused = true)]
async fn no_more_is_asked_for_than_the_configuration_says() {
    let world = World::new().await;
    let walk = world.begin(&world.link().await).await;
    assert!(walk.begun.url.as_str().contains("&scope=decks%3Aread%20cards%3Aread&"), "{}", walk.begun.url);
    world.connect().await;
    let link = world.link().await;
    let Ok(Look::Offer(offer)) = world.flow.look(&link, &[]).await else { panic!("an offer") };
    assert_eq!(offer.standing, Standing::Connected(Some("george".into())));
    let walk = world.begin(&link).await;
    assert!(walk.begun.url.as_str().contains("&scope=decks%3Aread%20cards%3Aread&"), "{}", walk.begun.url);
}

#[tokio::test(start_paused = true)]
async fn every_flow_has_secrets_of_its_own() {
    let world = World::new().await;
    let link = world.link().await;
    let (one, two) = (world.begin(&link).await, world.begin(&link).await);
    assert_ne!(one.begun.state, two.begun.state);
    assert_ne!(one.begun.binding, two.begun.binding);
    let challenge = |walk: &super::world::Walk| walk.begun.url.query_pairs().nth(5).unwrap().1.into_owned();
    assert_ne!(challenge(&one), challenge(&two));
}

#[tokio::test(start_paused = true)]
async fn looking_consumes_nothing() {
    let world = World::new().await;
    let link = world.link().await;
    for _ in 0..3 {
        let Ok(Look::Offer(offer)) = world.flow.look(&link, &[]).await else { panic!("an offer") };
        assert_eq!((offer.tenant.as_str(), offer.client_id.as_str()), ("acme", "cli_1"));
        assert_eq!(offer.scopes.as_str(), Some("decks:read cards:read"));
    }
    let walk = world.begin(&link).await;
    assert!(matches!(world.flow.look(&link, &[]).await, Ok(Look::Offer(_))), "another tab looks");
    assert!(matches!(world.comes_back(&walk, &allowed("c1")).await, Outcome::Connected(_)));
}

#[tokio::test(start_paused = true)]
async fn of_two_tabs_the_first_to_come_back_connects() {
    let world = World::new().await;
    let link = world.link().await;
    let (one, two) = (world.begin(&link).await, world.begin(&link).await);
    assert!(matches!(world.comes_back(&two, &allowed("c2")).await, Outcome::Connected(_)));
    let late = refused(world.comes_back(&one, &allowed("c1")).await);
    assert_eq!((late.why, late.again), (Refusal::UsedLink(SessionOutcome::Connected), None));
    assert!(!world.server.asked().iter().any(|asked| asked.contains("c1")), "a code that nobody needs stays unused");
}

#[tokio::test(start_paused = true)]
async fn more_scopes_are_asked_for_besides_those_that_are_there() {
    let world = World::new().await;
    world.connect().await;
    let link = world.link_for("acme", Some("guides:read decks:read"), None).await;
    let Ok(Look::Offer(offer)) = world.flow.look(&link, &[]).await else { panic!("an offer") };
    assert_eq!(offer.standing, Standing::AllowsLess(Some("george".into())));
    assert_eq!(offer.scopes.as_str(), Some("guides:read decks:read cards:read"));
    let walk = world.begin(&link).await;
    assert!(walk.begun.url.as_str().contains("scope=guides%3Aread%20decks%3Aread%20cards%3Aread&"));
    // Until the new grant is there, the old one stays.
    let denied = refused(world.comes_back(&walk, &failed("access_denied")).await);
    assert_eq!(denied.why, Refusal::Denied);
    assert_eq!(world.username().await.as_deref(), Some("george"));
    assert!(!world.server.asked().iter().any(|asked| asked.starts_with("revoke")));
}

#[tokio::test(start_paused = true)]
async fn scopes_that_the_answer_leaves_out_are_those_that_were_asked_for() {
    let world = World::new().await;
    world.server.redeems.lock().push_back(Ok(TokenAnswer { scope: None, ..tokens("c1") }));
    let walk = world.begin(&world.link_for("acme", Some("guides:read"), None).await).await;
    let outcome = world.comes_back(&walk, &allowed("c1")).await;
    let Outcome::Connected(connected) = outcome else { panic!("{outcome:?}") };
    assert_eq!(connected.scopes.as_str(), Some("guides:read"));
}

#[tokio::test(start_paused = true)]
async fn among_them_are_those_that_were_asked_for_again() {
    let world = World::new().await;
    world.connect().await;
    world.server.redeems.lock().push_back(Ok(TokenAnswer { scope: None, ..tokens("c2") }));
    let walk = world.begin(&world.link_for("acme", Some("guides:read"), None).await).await;
    let outcome = world.comes_back(&walk, &allowed("c2")).await;
    let Outcome::Connected(connected) = outcome else { panic!("{outcome:?}") };
    assert_eq!(connected.scopes.as_str(), Some("guides:read decks:read cards:read"));
}

#[tokio::test(start_paused = true)]
async fn what_one_flexslot_has_given_is_never_taken_for_anothers() {
    let world = World::new().await;
    let gate = Arc::new(Semaphore::new(0));
    *world.server.gate.lock() = Some(gate.clone());
    let walk = world.begin(&world.link().await).await;
    let answer = allowed("c1");
    let comes_back = world.comes_back(&walk, &answer);
    tokio::pin!(comes_back);
    assert!(timeout(Duration::from_secs(1), &mut comes_back).await.is_err(), "Flexslot has not answered");
    world.move_upstream_to("https://other.test");
    gate.add_permits(1);
    assert!(matches!(comes_back.await, Outcome::Connected(_)));
    let card = world.credentials.card(&"acme".parse().unwrap()).await.unwrap().unwrap();
    assert!(matches!(card.reason, Some(Reason::OtherOrigin(_))), "{card:?}");
    assert_eq!(world.server.asked().last().map(String::as_str), Some("introspect at.c1"), "by the one that gave it");
}

#[tokio::test(start_paused = true)]
async fn with_return_to_the_grant_waits_for_the_app() {
    let world = World::new().await;
    let link = world.link_of_app(&format!("{APP}/done?user=7&x=a%20b#there")).await;
    let walk = world.begin(&link).await;
    let address = returned(world.comes_back(&walk, &allowed("c1")).await);
    let (begin, code) = address.split_once("&flexslot_code=").unwrap();
    let id = link.expose();
    assert_eq!(begin, format!("{APP}/done?user=7&x=a%20b&flexslot_session={id}&flexslot_result=ok"));
    let (code, fragment) = code.split_once('#').unwrap();
    assert_eq!((code.len(), fragment), (43, "there"));
    assert_eq!(world.username().await, None, "nothing is connected yet");
    let looked = world.flow.look(&link, &[walk.begun.binding.expose()]).await.unwrap_err();
    assert_eq!(looked.why, Refusal::Waiting);
    world.credentials.complete(&link, code).await.unwrap();
    assert_eq!(world.username().await.as_deref(), Some("george"));
}

#[tokio::test(start_paused = true)]
async fn the_app_is_told_how_it_went() {
    for (answer, result) in [(failed("access_denied"), "denied"), (failed("server_error"), "failed")] {
        let world = World::new().await;
        let link = world.link_of_app(&format!("{APP}/done")).await;
        let walk = world.begin(&link).await;
        let address = returned(world.comes_back(&walk, &answer).await);
        let id = link.expose();
        assert_eq!(address, format!("{APP}/done?flexslot_session={id}&flexslot_result={result}"));
        let used = world.flow.look(&link, &[]).await.unwrap_err();
        assert!(matches!(used.why, Refusal::UsedLink(_)), "{used:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn browsers_are_not_sent_where_the_configuration_does_not_let_them() {
    for elsewhere in
        ["https://app.example.com.evil.example/", "https://app.example.com:8443/", "http://app.example.com/"]
    {
        let world = World::new().await;
        let walk = world.begin(&world.link_of_app(elsewhere).await).await;
        let closed = refused(world.comes_back(&walk, &allowed("c1")).await);
        assert_eq!(closed.why, Refusal::NoWayBack, "{elsewhere}");
        assert_eq!(world.server.asked(), [""; 0], "the code stays unused");
    }
}
