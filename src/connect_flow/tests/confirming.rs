//! Consents as another Flexslot user than before.

use super::{
    server::{GEORGE, active},
    world::{APP, Walk, World, allowed, minutes, refused, returned},
};
use crate::{
    connect_flow::{Outcome, Refusal, begin::Look, confirm::LastWord, outcome::Confirmation},
    credential::SessionOutcome,
    flexslot::{Introspection, TokenError},
};

/// Acme is connected as george, and somebody has just consented as fred.
async fn as_fred(return_to: Option<&str>) -> (World, Walk, Confirmation) {
    let world = World::new().await;
    world.connect().await;
    *world.server.user.lock() = Some("fred");
    let walk = world.begin(&world.link_for("acme", None, return_to).await).await;
    let outcome = world.comes_back(&walk, &allowed("c2")).await;
    let Outcome::Confirm(asked) = outcome else { panic!("{outcome:?}") };
    (world, walk, asked)
}

#[tokio::test(start_paused = true)]
async fn the_same_user_is_not_asked() {
    let world = World::new().await;
    world.connect().await;
    world.connect().await;
    assert_eq!(world.username().await.as_deref(), Some(GEORGE));
}

#[tokio::test(start_paused = true)]
async fn another_user_is_asked_first_and_nothing_changes_until_then() {
    let (world, walk, asked) = as_fred(None).await;
    assert_eq!(asked.before.as_ref().unwrap().username.as_deref(), Some("george"));
    assert_eq!(asked.now.as_ref().unwrap().username.as_deref(), Some("fred"));
    assert_eq!(world.username().await.as_deref(), Some("george"));
    let own = walk.begun.binding.expose();
    assert_eq!(
        world.flow.look(&walk.session, &["x", own]).await,
        Ok(Look::Confirm(asked)),
        "the page can be loaded again"
    );
    let outcome = world.flow.confirm(&walk.session, &["x", own], LastWord::Yes).await;
    let Outcome::Connected(connected) = outcome else { panic!("{outcome:?}") };
    assert_eq!(connected.identity.unwrap().username.as_deref(), Some("fred"));
    assert_eq!(world.username().await.as_deref(), Some("fred"));
}

#[tokio::test(start_paused = true)]
async fn who_does_not_mean_it_keeps_what_there_was() {
    let (world, walk, _) = as_fred(None).await;
    let own = walk.begun.binding.expose();
    let kept = refused(world.flow.confirm(&walk.session, &[own], LastWord::No).await);
    assert_eq!((kept.why, kept.again), (Refusal::Kept, None));
    assert_eq!(world.username().await.as_deref(), Some("george"));
    let used = refused(world.flow.confirm(&walk.session, &[own], LastWord::Yes).await);
    assert_eq!(used.why, Refusal::UsedLink(SessionOutcome::Denied));
}

#[tokio::test(start_paused = true)]
async fn who_says_no_after_another_window_said_yes_is_told_so() {
    let (world, walk, _) = as_fred(None).await;
    let asked = world.credentials.session(&walk.session).await.unwrap().unwrap();
    let outcome = world.flow.confirm(&walk.session, &[walk.begun.binding.expose()], LastWord::Yes).await;
    assert!(matches!(outcome, Outcome::Connected(_)), "{outcome:?}");
    let late = refused(world.flow.keep(&walk.session, &asked).await);
    assert_eq!(late.why, Refusal::UsedLink(SessionOutcome::Connected));
    assert_eq!(world.username().await.as_deref(), Some("fred"));
}

#[tokio::test(start_paused = true)]
async fn another_browser_has_no_last_word() {
    let (world, walk, _) = as_fred(None).await;
    for bindings in [&[][..], &["forged"]] {
        for word in [LastWord::Yes, LastWord::No] {
            let other = refused(world.flow.confirm(&walk.session, bindings, word).await);
            assert_eq!(other.why, Refusal::OtherBrowser);
        }
        assert_eq!(world.flow.look(&walk.session, bindings).await.unwrap_err().why, Refusal::Waiting);
    }
    assert_eq!(world.username().await.as_deref(), Some("george"));
    let outcome = world.flow.confirm(&walk.session, &[walk.begun.binding.expose()], LastWord::Yes).await;
    assert!(matches!(outcome, Outcome::Connected(_)), "{outcome:?}");
}

#[tokio::test(start_paused = true)]
async fn the_last_word_has_ten_minutes() {
    let (world, walk, _) = as_fred(None).await;
    minutes(10).await;
    let late = refused(world.flow.confirm(&walk.session, &[walk.begun.binding.expose()], LastWord::Yes).await);
    assert_eq!(late.why, Refusal::UnknownLink);
    assert_eq!(world.username().await.as_deref(), Some("george"));
}

#[tokio::test(start_paused = true)]
async fn nobody_confirms_what_was_never_asked() {
    let world = World::new().await;
    let walk = world.begin(&world.link().await).await;
    let early = refused(world.flow.confirm(&walk.session, &[walk.begun.binding.expose()], LastWord::Yes).await);
    assert_eq!(early.why, Refusal::OtherBrowser);
}

#[tokio::test(start_paused = true)]
async fn a_user_whom_flexslot_does_not_name_is_asked_too() {
    for silence in [
        Err(TokenError::NotSent("could not connect".into())),
        Ok(Introspection::Inactive),
        Ok(Introspection::Active { identity: None, scope: None }),
    ] {
        let world = World::new().await;
        world.connect().await;
        world.server.introspects.lock().push_back(silence);
        let walk = world.begin(&world.link().await).await;
        let outcome = world.comes_back(&walk, &allowed("c2")).await;
        assert!(matches!(&outcome, Outcome::Confirm(asked) if asked.now.is_none()), "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_name_is_no_new_user() {
    let world = World::new().await;
    world.connect().await;
    let Introspection::Active { identity: Some(george), scope } = active(GEORGE) else { unreachable!() };
    let renamed = crate::model::Identity { username: Some("geo".into()), ..george };
    world.server.introspects.lock().push_back(Ok(Introspection::Active { identity: Some(renamed), scope }));
    let walk = world.begin(&world.link().await).await;
    assert!(matches!(world.comes_back(&walk, &allowed("c2")).await, Outcome::Connected(_)));
    assert_eq!(world.username().await.as_deref(), Some("geo"));
}

#[tokio::test(start_paused = true)]
async fn with_return_to_the_app_has_the_very_last_word() {
    let return_to = format!("{APP}/done");
    let (world, walk, _) = as_fred(Some(&return_to)).await;
    let own = walk.begun.binding.expose();
    let address = returned(world.flow.confirm(&walk.session, &[own], LastWord::Yes).await);
    assert_eq!(world.username().await.as_deref(), Some("george"), "not before the app says so");
    let code = address.split_once("&flexslot_code=").unwrap().1;
    world.credentials.complete(&walk.session, code).await.unwrap();
    assert_eq!(world.username().await.as_deref(), Some("fred"));
}

#[tokio::test(start_paused = true)]
async fn with_return_to_the_app_is_told_who_did_not_mean_it() {
    let return_to = format!("{APP}/done");
    let (world, walk, _) = as_fred(Some(&return_to)).await;
    let address = returned(world.flow.confirm(&walk.session, &[walk.begun.binding.expose()], LastWord::No).await);
    assert!(address.ends_with("&flexslot_result=denied"), "{address}");
    assert_eq!(world.username().await.as_deref(), Some("george"));
}
