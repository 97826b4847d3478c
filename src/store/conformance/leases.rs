use std::time::Duration;

use super::Engine;
use crate::{
    model::{TenantId, Timestamp, token::Owner},
    store::backend::{Bid, Revision},
};

const LENGTH: Duration = Duration::from_secs(30);

/// A bid that is good until then is never late.
const NEVER: Timestamp = Timestamp::from_millis(i64::MAX);

fn tenant(name: &str) -> TenantId {
    name.parse().expect("a tenant's name")
}

fn owner(instance: &str) -> Owner {
    Owner { host: "host".into(), instance: instance.into() }
}

pub(in crate::store) async fn one_bidder_wins_and_the_other_learns_whose_it_is_and_for_how_long(engine: &dyn Engine) {
    let (a, b) = (engine.handle(), engine.handle());
    assert_eq!(a.bid(&tenant("acme"), &owner("a"), LENGTH, NEVER).await, Ok(Bid::Won));
    engine.pass(Duration::from_secs(10));
    let left = Duration::from_secs(20);
    let lost = Bid::Lost { holder: owner("a"), left };
    assert_eq!(b.bid(&tenant("acme"), &owner("b"), LENGTH, NEVER).await, Ok(lost.clone()));
    let namesake = Owner { host: "elsewhere".into(), ..owner("a") };
    assert_eq!(b.bid(&tenant("acme"), &namesake, LENGTH, NEVER).await, Ok(lost));
    assert_eq!(
        b.bid(&tenant("beta"), &owner("b"), LENGTH, NEVER).await,
        Ok(Bid::Won),
        "another tenant's is another lease"
    );
    assert_eq!(a.changes(Revision(0), 10).await, Ok((Revision(0), vec![])), "a lease is no change");
}

pub(in crate::store) async fn its_owner_extends_it(engine: &dyn Engine) {
    let store = engine.handle();
    for _ in 0..3 {
        assert_eq!(store.bid(&tenant("acme"), &owner("a"), LENGTH, NEVER).await, Ok(Bid::Won));
        engine.pass(Duration::from_secs(20));
    }
    let left = Duration::from_secs(10);
    assert_eq!(
        store.bid(&tenant("acme"), &owner("b"), LENGTH, NEVER).await,
        Ok(Bid::Lost { holder: owner("a"), left })
    );
}

pub(in crate::store) async fn it_ends_by_the_stores_clock(engine: &dyn Engine) {
    let store = engine.handle();
    assert_eq!(store.bid(&tenant("acme"), &owner("a"), LENGTH, NEVER).await, Ok(Bid::Won));
    engine.pass(LENGTH - Duration::from_millis(1));
    let left = Duration::from_millis(1);
    assert_eq!(
        store.bid(&tenant("acme"), &owner("b"), LENGTH, NEVER).await,
        Ok(Bid::Lost { holder: owner("a"), left })
    );
    engine.pass(left);
    assert_eq!(store.bid(&tenant("acme"), &owner("b"), LENGTH, NEVER).await, Ok(Bid::Won));
}

pub(in crate::store) async fn an_end_further_away_than_one_length_counts_as_ended(engine: &dyn Engine) {
    let store = engine.handle();
    assert_eq!(store.bid(&tenant("acme"), &owner("a"), 10 * LENGTH, NEVER).await, Ok(Bid::Won));
    assert_eq!(store.bid(&tenant("acme"), &owner("b"), LENGTH, NEVER).await, Ok(Bid::Won));
}

pub(in crate::store) async fn a_bid_that_the_store_comes_to_after_its_time_wins_nothing(engine: &dyn Engine) {
    let store = engine.handle();
    let by = store.now().await.expect("a time").plus(Duration::from_secs(3));
    engine.pass(Duration::from_millis(3001));
    assert_eq!(store.bid(&tenant("acme"), &owner("a"), LENGTH, by).await, Ok(Bid::Late));
    assert_eq!(store.bid(&tenant("acme"), &owner("b"), LENGTH, NEVER).await, Ok(Bid::Won), "nobody has it");
    assert_eq!(store.bid(&tenant("acme"), &owner("a"), LENGTH, by).await, Ok(Bid::Late), "whoever has it");
    engine.pass(Duration::from_secs(10));
    assert_eq!(store.bid(&tenant("acme"), &owner("b"), LENGTH, by).await, Ok(Bid::Late), "its owner too");
    let left = Duration::from_secs(20);
    let lost = Bid::Lost { holder: owner("b"), left };
    assert_eq!(store.bid(&tenant("acme"), &owner("a"), LENGTH, NEVER).await, Ok(lost), "neither longer nor shorter");
}

pub(in crate::store) async fn a_bid_is_good_until_the_last_moment_of_its_time(engine: &dyn Engine) {
    let store = engine.handle();
    let by = store.now().await.expect("a time").plus(Duration::from_secs(3));
    engine.pass(Duration::from_secs(3));
    assert_eq!(store.bid(&tenant("acme"), &owner("a"), LENGTH, by).await, Ok(Bid::Won));
    let lost = Bid::Lost { holder: owner("a"), left: LENGTH };
    assert_eq!(store.bid(&tenant("acme"), &owner("b"), LENGTH, by).await, Ok(lost));
}

pub(in crate::store) async fn only_its_owner_gives_it_back(engine: &dyn Engine) {
    let store = engine.handle();
    assert_eq!(store.bid(&tenant("acme"), &owner("a"), LENGTH, NEVER).await, Ok(Bid::Won));
    store.release(&tenant("acme"), &owner("b")).await.expect("answered");
    assert_eq!(
        store.bid(&tenant("acme"), &owner("b"), LENGTH, NEVER).await,
        Ok(Bid::Lost { holder: owner("a"), left: LENGTH })
    );
    store.release(&tenant("acme"), &owner("a")).await.expect("answered");
    store.release(&tenant("acme"), &owner("a")).await.expect("no harm in doing it twice");
    assert_eq!(store.bid(&tenant("acme"), &owner("b"), LENGTH, NEVER).await, Ok(Bid::Won));
}

pub(in crate::store) async fn of_many_bidders_at_once_one_wins(engine: &dyn Engine) {
    for round in 0..8 {
        let mut bidders = tokio::task::JoinSet::new();
        for bidder in 0..4 {
            let (handle, tenant, owner) = (engine.handle(), tenant(&round.to_string()), owner(&bidder.to_string()));
            bidders.spawn(async move { handle.bid(&tenant, &owner, LENGTH, NEVER).await.expect("answered") });
        }
        let bids = bidders.join_all().await;
        assert_eq!(bids.iter().filter(|bid| **bid == Bid::Won).count(), 1);
    }
}
