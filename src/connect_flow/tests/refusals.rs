//! Flows that come to nothing, and change nothing.

use super::{
    server::tokens,
    world::{World, allowed, failed, minutes, refused},
};
use crate::{
    connect_flow::{
        Answer, Outcome, Refusal,
        outcome::{ErrorCode, GivenBack},
    },
    credential::SessionOutcome,
    flexslot::{Introspection, NoClient, Revocation, TokenAnswer, TokenError},
    model::TokenType,
};

#[tokio::test(start_paused = true)]
async fn another_browser_is_refused_and_consumes_nothing() {
    let world = World::new().await;
    let walk = world.begin(&world.link().await).await;
    let without = refused(world.comes_back_with(&walk, &allowed("c1"), None).await);
    assert_eq!(without.why, Refusal::OtherBrowser);
    assert!(matches!(world.comes_back(&walk, &allowed("c1")).await, Outcome::Connected(_)), "its own one still may");
}

#[tokio::test(start_paused = true)]
async fn a_forged_cookie_is_refused_and_costs_the_flow() {
    let world = World::new().await;
    let walk = world.begin(&world.link().await).await;
    let forged = refused(world.comes_back_with(&walk, &allowed("c1"), Some("forged")).await);
    assert_eq!(forged.why, Refusal::OtherBrowser);
    assert_eq!(refused(world.comes_back(&walk, &allowed("c1")).await).why, Refusal::Spent);
    assert_eq!(world.server.asked(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_callback_counts_once() {
    let world = World::new().await;
    let walk = world.begin(&world.link().await).await;
    assert!(matches!(world.comes_back(&walk, &allowed("c1")).await, Outcome::Connected(_)));
    assert_eq!(refused(world.comes_back(&walk, &allowed("c1")).await).why, Refusal::Spent);
    assert_eq!(world.server.asked().iter().filter(|asked| asked.starts_with("redeem")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn of_callbacks_at_the_same_moment_one_counts() {
    let world = World::new().await;
    let walk = world.begin(&world.link().await).await;
    let answer = allowed("c1");
    let both = tokio::join!(world.comes_back(&walk, &answer), world.comes_back(&walk, &answer));
    let connected = [both.0, both.1].iter().filter(|outcome| matches!(outcome, Outcome::Connected(_))).count();
    assert_eq!(connected, 1);
    assert_eq!(world.server.asked().iter().filter(|asked| asked.starts_with("redeem")).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_flow_of_one_tenant_does_not_connect_another() {
    let world = World::new().await;
    let acme = world.begin(&world.link().await).await;
    let beta = world.begin(&world.link_for("beta", None, None).await).await;
    let swapped = refused(world.comes_back_with(&beta, &allowed("c1"), Some(acme.begun.binding.expose())).await);
    assert_eq!(swapped.why, Refusal::OtherBrowser);
    assert_eq!(world.server.asked(), [""; 0]);
    // And what a query says of tenants and sessions is nothing to us.
    let session = beta.session.expose();
    let outcome = world.comes_back(&acme, &format!("{}&tenant=beta&session={session}", allowed("c2"))).await;
    let Outcome::Connected(connected) = outcome else { panic!("{outcome:?}") };
    assert_eq!(connected.tenant.as_str(), "acme");
}

#[tokio::test(start_paused = true)]
async fn after_ten_minutes_nothing_of_it_works() {
    let world = World::new().await;
    let link = world.link().await;
    let walk = world.begin(&link).await;
    minutes(10).await;
    assert_eq!(world.flow.look(&link, &[]).await.unwrap_err().why, Refusal::UnknownLink);
    assert_eq!(world.flow.begin(&link).await.unwrap_err().why, Refusal::UnknownLink);
    assert_eq!(refused(world.comes_back(&walk, &allowed("c1")).await).why, Refusal::Spent);
    assert_eq!(world.server.asked(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn iss_is_compared_byte_for_byte_before_anything_is_believed() {
    for iss in [
        "",
        "&iss=",
        "&iss=https%3A%2F%2Fflexslot.test%2F",
        "&iss=https%3A%2F%2FFlexslot.test",
        "&iss=https%3A%2F%2Fflexslot.test%3A443",
        "&iss=http%3A%2F%2Fflexslot.test",
        "&iss=https%3A%2F%2Fevil.test",
    ] {
        for word in ["code=c1", "error=access_denied", "error=server_error"] {
            let world = World::new().await;
            let walk = world.begin(&world.link().await).await;
            let other = refused(world.comes_back(&walk, &format!("{word}{iss}")).await);
            assert_eq!((other.why, other.again), (Refusal::OtherIssuer, Some(walk.session.clone())), "{word}{iss}");
            assert_eq!(world.server.asked(), [""; 0], "no code is redeemed");
            assert_eq!(refused(world.comes_back(&walk, &allowed("c1")).await).why, Refusal::Spent, "nor a second time");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn state_is_checked_before_iss() {
    let world = World::new().await;
    let walk = world.begin(&world.link().await).await;
    assert_eq!(refused(world.comes_back_with(&walk, "code=c1", None).await).why, Refusal::OtherBrowser);
    let foreign = Answer::parse("state=made-up&code=c1&iss=https%3A%2F%2Fevil.test").unwrap();
    assert_eq!(refused(world.flow.callback(foreign, Some("b")).await).why, Refusal::Spent);
}

#[test]
fn what_has_no_state_or_something_twice_is_no_answer() {
    for query in ["", "code=c1", "state=&code=c1", "state=a&state=a", "state=a&code=b&code=c", "state=a&iss=b&iss=b"] {
        assert!(Answer::parse(query).is_none(), "{query}");
    }
    assert!(Answer::parse("state=a&x=1&x=2").is_some());
}

#[tokio::test(start_paused = true)]
async fn an_answer_without_code_and_error_is_none() {
    let world = World::new().await;
    let walk = world.begin(&world.link().await).await;
    let empty = refused(world.comes_back(&walk, "code=&iss=https%3A%2F%2Fflexslot.test").await);
    assert_eq!((empty.why, empty.again), (Refusal::NoAnswer, Some(walk.session)));
}

#[tokio::test(start_paused = true)]
async fn every_error_of_flexslots_is_told_apart_and_leaves_the_link_open() {
    let codes = [
        ("access_denied", Refusal::Denied),
        ("invalid_request", Refusal::Flexslot(ErrorCode::InvalidRequest)),
        ("unauthorized_client", Refusal::Flexslot(ErrorCode::UnauthorizedClient)),
        ("unsupported_response_type", Refusal::Flexslot(ErrorCode::UnsupportedResponseType)),
        ("invalid_scope", Refusal::Flexslot(ErrorCode::InvalidScope)),
        ("server_error", Refusal::Flexslot(ErrorCode::ServerError)),
        ("temporarily_unavailable", Refusal::Flexslot(ErrorCode::TemporarilyUnavailable)),
        ("%3Cb%3ECANARY", Refusal::Flexslot(ErrorCode::Unknown)),
        ("", Refusal::Flexslot(ErrorCode::Unknown)),
    ];
    let world = World::new().await;
    let link = world.link().await;
    for (code, why) in codes {
        let walk = world.begin(&link).await;
        // An error beside a code is an error.
        let told = refused(world.comes_back(&walk, &format!("code=c1&{}", failed(code))).await);
        assert!(!format!("{told:?}").contains("CANARY"));
        assert_eq!((told.why, told.again), (why, Some(link.clone())), "{code}");
    }
    assert_eq!(world.server.asked(), [""; 0]);
    let walk = world.begin(&link).await;
    assert!(matches!(world.comes_back(&walk, &allowed("c1")).await, Outcome::Connected(_)));
}

#[tokio::test(start_paused = true)]
async fn every_failure_of_the_token_endpoint_is_told_apart_and_connects_nothing() {
    for error in [
        TokenError::NotSent("could not connect".into()),
        TokenError::RefusedForNow { what: "429".into(), retry_after: None },
        TokenError::Unknown("no answer in time".into()),
        TokenError::Revoked,
        TokenError::Misconfigured("401 invalid_client".into()),
    ] {
        let world = World::new().await;
        world.server.redeems.lock().push_back(Err(error.clone()));
        let walk = world.begin(&world.link().await).await;
        let told = refused(world.comes_back(&walk, &allowed("c1")).await);
        assert_eq!((told.why, told.again), (Refusal::Token(error), Some(walk.session)));
        assert_eq!(world.username().await, None);
    }
}

#[tokio::test(start_paused = true)]
async fn tokens_that_cannot_be_used_are_given_back() {
    let world = World::new().await;
    world.server.redeems.lock().push_back(Ok(TokenAnswer { token_type: TokenType::Dpop, ..tokens("c1") }));
    let walk = world.begin(&world.link().await).await;
    let told = refused(world.comes_back(&walk, &allowed("c1")).await);
    assert!(matches!(told.why, Refusal::Unusable(what, GivenBack::Yes) if what.contains("DPoP")), "{told:?}");
    assert_eq!(world.server.asked().last().map(String::as_str), Some("revoke refresh_token rt.c1"));
    world.server.redeems.lock().push_back(Ok(TokenAnswer { refresh: None, ..tokens("c2") }));
    let walk = world.begin(&walk.session).await;
    let told = refused(world.comes_back(&walk, &allowed("c2")).await);
    assert!(matches!(told.why, Refusal::Unusable(what, GivenBack::Yes) if what.contains("refresh token")), "{told:?}");
    assert_eq!(world.server.asked().last().map(String::as_str), Some("revoke access_token at.c2"));
    assert_eq!(world.username().await, None);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_said_to_be_given_back_that_flexslot_did_not_take() {
    for answer in [Ok(Revocation::Refused("400".into())), Err(TokenError::Unknown("502".into()))] {
        let world = World::new().await;
        world.server.redeems.lock().push_back(Ok(TokenAnswer { refresh: None, ..tokens("c1") }));
        world.server.revokes.lock().push_back(answer);
        let walk = world.begin(&world.link().await).await;
        let told = refused(world.comes_back(&walk, &allowed("c1")).await);
        assert!(matches!(told.why, Refusal::Unusable(_, GivenBack::No)), "{told:?}");
        let operator = world.flow.explain(&told.why).operator.unwrap();
        assert!(operator.ends_with("what was given is still listed at https://flexslot.test/account/connected-apps"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_flexslot_that_does_not_say_whose_a_first_grant_is_keeps_nobody_from_connecting() {
    for silence in [Err(TokenError::Unknown("502".into())), Ok(Introspection::Inactive)] {
        let world = World::new().await;
        world.server.introspects.lock().push_back(silence);
        let walk = world.begin(&world.link().await).await;
        let outcome = world.comes_back(&walk, &allowed("c1")).await;
        assert!(matches!(&outcome, Outcome::Connected(connected) if connected.identity.is_none()), "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_counts_once() {
    let world = World::new().await;
    let link = world.link().await;
    let walk = world.begin(&link).await;
    assert!(matches!(world.comes_back(&walk, &allowed("c1")).await, Outcome::Connected(_)));
    let used = Refusal::UsedLink(SessionOutcome::Connected);
    assert_eq!(world.flow.look(&link, &[]).await.unwrap_err().why, used);
    assert_eq!(world.flow.begin(&link).await.unwrap_err().why, used);
}

#[tokio::test(start_paused = true)]
async fn a_link_begins_only_so_many_flows() {
    let world = World::new().await;
    let link = world.link().await;
    let mut walks = Vec::new();
    for _ in 0..20 {
        walks.push(world.begin(&link).await);
    }
    assert_eq!(world.flow.begin(&link).await.unwrap_err().why, Refusal::TooManyFlows);
    world.begin(&world.link().await).await;
    assert!(matches!(world.comes_back(&walks[0], &allowed("c1")).await, Outcome::Connected(_)), "those go on");
}

#[tokio::test(start_paused = true)]
async fn without_a_client_nobody_is_sent_anywhere() {
    let world = World::new().await;
    let link = world.link().await;
    world.server.no_client.store(true, std::sync::atomic::Ordering::Relaxed);
    let why = Refusal::NoClient(NoClient::None);
    assert_eq!(world.flow.look(&link, &[]).await.unwrap_err().why, why);
    assert_eq!(world.flow.begin(&link).await.unwrap_err().why, why);
}

#[tokio::test(start_paused = true)]
async fn a_tenant_that_is_removed_meanwhile_is_not_connected() {
    let world = World::new().await;
    world.connect().await;
    let walk = world.begin(&world.link().await).await;
    world.credentials.remove(&"acme".parse().unwrap()).await.unwrap();
    let told = refused(world.comes_back(&walk, &allowed("c1")).await);
    assert_eq!(told.why, Refusal::Overtaken);
    assert_eq!(world.username().await, None);
}
