//! Cards in pages: everybody once, in order, whatever is asked for.

use std::time::Duration;

use super::{
    cards::{DAY, end, file_pat, renew_without_the_store, spoil},
    world::{CLIENT, HOUR, ORIGIN, START, World, tenant},
};
use crate::{
    credential::{CardPage, CardQuery, PageEnd, TenantPolicy},
    model::{
        Card, ConnectionState, NextStep, Reason, ScopeSet, Secret, TenantId, TokenSet, TokenType,
        token::DisconnectReason,
    },
    store::{
        Existing, NewGrant, NewTenant,
        backend::{Backend, Change, Expect, Key, Kind},
        record::Body,
    },
};

async fn page(world: &World, query: &CardQuery) -> CardPage {
    let page = world.credentials.cards(query).await.unwrap();
    assert!(page.cards.len() <= query.limit);
    assert_eq!(page.next.is_none(), page.end == PageEnd::Complete);
    page
}

/// All that `query` asks for, page by page.
async fn all(world: &World, query: &CardQuery) -> Vec<Card> {
    let (mut query, mut cards) = (query.clone(), Vec::new());
    loop {
        let page = page(world, &query).await;
        cards.extend(page.cards);
        assert!(page.next.is_none() || page.next > query.after, "it goes on");
        query.after = page.next;
        if query.after.is_none() {
            return cards;
        }
    }
}

fn names(cards: &[Card]) -> String {
    cards.iter().map(|card| card.tenant.as_str()).collect::<Vec<_>>().join(" ")
}

fn query(limit: usize) -> CardQuery {
    CardQuery { limit, ..CardQuery::default() }
}

/// Some in every state, in the store, in the file and in both: `c` connected, `d` disconnected here, `e` in error, `f` of
/// the file alone, `p` with a PAT alone, `r` to be connected again, `x` expiring.
async fn crowd() -> World {
    let mut world = World::new().await;
    for name in ["c1", "c2", "c3", "d1", "d2", "e1", "r1", "r2"] {
        world.connect(name, HOUR, Some(DAY)).await;
    }
    for name in ["x1", "x2"] {
        world.connect(name, HOUR, Some(25 * DAY)).await;
    }
    for name in ["p1", "p2", "c2", "r2"] {
        world.give_pat(name).await;
    }
    for (name, reason) in [
        ("d1", DisconnectReason::Disconnected),
        ("d2", DisconnectReason::Disconnected),
        ("r1", DisconnectReason::InvalidGrant),
        ("r2", DisconnectReason::RefreshOutcomeLost),
    ] {
        end(&world, name, reason).await;
    }
    spoil(&world, Kind::Grant, "e1").await;
    for name in ["a", "c1", "f1", "f2", "p1", "r2", "z"] {
        world.set_policy(name, file_pat());
    }
    world.set_policy("f3", TenantPolicy::default());
    world
}

const CROWD: &str = "a c1 c2 c3 d1 d2 e1 f1 f2 f3 p1 p2 r1 r2 x1 x2 z";

#[tokio::test(start_paused = true)]
async fn the_tenants_of_store_and_file_come_once_and_in_order_whatever_the_size_of_a_page() {
    let world = crowd().await;
    for limit in (1..20).chain([1000, usize::MAX]) {
        assert_eq!(names(&all(&world, &query(limit)).await), CROWD, "{limit} at a time");
    }
}

#[tokio::test(start_paused = true)]
async fn a_state_has_those_whose_cards_say_so() {
    use ConnectionState::{Connected, Error, Expiring, NotConnected, ReconnectRequired};
    let world = crowd().await;
    for (state, expected) in [
        (Connected, "c1 c2 c3"),
        (Expiring, "x1 x2"),
        (ReconnectRequired, "r1 r2"),
        (NotConnected, "a d1 d2 f1 f2 f3 p1 p2 z"),
        (Error, "e1"),
    ] {
        for limit in [1, 2, 3, 7, 50] {
            let cards = all(&world, &CardQuery { state: Some(state), ..query(limit) }).await;
            assert_eq!(names(&cards), expected, "{state:?}, {limit} at a time");
            assert!(cards.iter().all(|card| card.state == state));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_listed_card_is_the_one_that_is_had_alone() {
    let world = crowd().await;
    for card in all(&world, &query(4)).await {
        assert_eq!(world.credentials.card(&card.tenant).await, Ok(Some(card)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_prefix_is_searched_in_store_and_file_and_may_be_any_text() {
    let world = crowd().await;
    for (prefix, expected) in [
        ("", CROWD),
        ("f", "f1 f2 f3"),
        ("c", "c1 c2 c3"),
        ("c2", "c2"),
        ("c22", ""),
        ("C", ""),
        ("z", "z"),
        ("~", ""),
        ("c 1", ""),
        ("%", ""),
        ("c\0", ""),
        ("\u{10ffff}", ""),
        (" ", ""),
    ] {
        for limit in [1, 2, 50] {
            let query = CardQuery { prefix: Some(prefix.into()), ..query(limit) };
            assert_eq!(names(&all(&world, &query).await), expected, "{prefix:?}, {limit} at a time");
        }
    }
    let long = CardQuery { prefix: Some("c".repeat(200)), ..query(5) };
    assert_eq!(names(&all(&world, &long).await), "");
    let both = CardQuery { prefix: Some("c".into()), state: Some(ConnectionState::NotConnected), ..query(5) };
    assert_eq!(names(&all(&world, &both).await), "");
}

#[tokio::test(start_paused = true)]
async fn a_page_tells_whether_there_are_more() {
    let world = crowd().await;
    let count = CROWD.split(' ').count();
    assert_eq!(page(&world, &query(count)).await.end, PageEnd::Complete);
    let page = page(&world, &query(count - 1)).await;
    assert_eq!((page.end, page.next), (PageEnd::Full, Some(tenant("x2"))));
}

#[tokio::test(start_paused = true)]
async fn nobody_is_found_in_an_empty_store() {
    let world = World::new().await;
    for state in ConnectionState::ALL.map(Some).into_iter().chain([None]) {
        let page = page(&world, &CardQuery { state, ..query(50) }).await;
        assert_eq!(page, CardPage { cards: vec![], next: None, end: PageEnd::Complete });
    }
}

/// So many connected tenants, and a PAT for every other.
async fn many(world: &World, count: usize) {
    let tokens = TokenSet {
        access: Secret::new("at"),
        refresh: Secret::new("rt"),
        token_type: TokenType::Bearer,
        scopes: ScopeSet::unknown(),
        expires_at: START.plus(HOUR),
        answered_at: Some(START),
        key: None,
    };
    let grant = NewGrant { client_id: CLIENT.into(), origin: ORIGIN.parse().unwrap(), tokens };
    let new = (0..count).map(|number| NewTenant {
        tenant: tenant(&format!("t{number:05}")),
        pat: None,
        grant: Some(grant.clone()),
    });
    let _ = world.store.import(new.collect(), Existing::Skip).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_is_rare_is_looked_for_among_so_many_at_a_time() {
    let world = World::new().await;
    many(&world, 2500).await;
    world.connect("t02400a", HOUR, Some(25 * DAY)).await;
    world.connect("a", HOUR, Some(25 * DAY)).await;
    let mut query = CardQuery { state: Some(ConnectionState::Expiring), ..query(50) };
    let first = page(&world, &query).await;
    assert_eq!((names(&first.cards), first.end), ("a".into(), PageEnd::StoppedEarly));
    assert_eq!(first.next, Some(tenant("t00998")), "a thousand with the one that was found");
    query.after = Some(tenant("t00998"));
    let second = page(&world, &query).await;
    assert_eq!(
        (names(&second.cards), second.end, second.next),
        ("".into(), PageEnd::StoppedEarly, Some(tenant("t01998")))
    );
    query.after = Some(tenant("t01998"));
    let third = page(&world, &query).await;
    assert_eq!((names(&third.cards), third.end), ("t02400a".into(), PageEnd::Complete));
}

#[tokio::test(start_paused = true)]
async fn more_tenants_of_the_file_than_one_look_takes_are_all_found() {
    let mut world = World::new().await;
    for number in 0..130 {
        world.set_policy(&format!("f{number:03}"), TenantPolicy::default());
    }
    many(&world, 60).await;
    world.connect("f064a", HOUR, None).await;
    let cards = all(&world, &query(7)).await;
    assert_eq!(cards.len(), 191);
    assert!(cards.is_sorted_by(|a, b| a.tenant < b.tenant));
}

#[tokio::test(start_paused = true)]
async fn tenants_that_come_and_go_cost_nobody_else_a_place() {
    let mut world = World::new().await;
    many(&world, 40).await;
    for name in ["t00007f", "t00023f"] {
        world.set_policy(name, TenantPolicy::default());
    }
    let staying = names(&all(&world, &query(50)).await);
    let (mut query, mut seen, mut round) = (query(3), Vec::new(), 0);
    loop {
        let page = page(&world, &query).await;
        seen.extend(page.cards.into_iter().map(|card| card.tenant));
        let Some(next) = page.next else { break };
        // One comes before the cursor, one right behind it, and the one that was last seen goes and is replaced.
        world.connect(&format!("a{round}"), HOUR, None).await;
        world.connect(&format!("{next}.new"), HOUR, None).await;
        let _ = world.store.remove(&next).await.unwrap();
        world.give_pat(next.as_str()).await;
        query.after = Some(next);
        round += 1;
    }
    assert!(round > 10 && seen.is_sorted_by(|a, b| a < b), "nobody twice");
    let stayed: Vec<_> = seen.iter().map(TenantId::as_str).filter(|name| !name.ends_with(".new")).collect();
    assert_eq!(stayed.join(" "), staying);
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_record_spoils_its_own_card_alone() {
    let world = World::new().await;
    for name in ["a", "b", "c", "d"] {
        world.connect(name, HOUR, None).await;
        world.give_pat(name).await;
    }
    spoil(&world, Kind::Grant, "b").await;
    spoil(&world, Kind::Pat, "c").await;
    let strange = Change {
        key: Key::new(Kind::Grant, "b b"),
        expect: Expect::Anything,
        label: Default::default(),
        body: Body::default(),
    };
    let _ = world.backend.write(vec![strange]).await.unwrap();
    for limit in 1..6 {
        let cards = all(&world, &query(limit)).await;
        let bad: Vec<_> = cards.iter().filter(|card| card.state == ConnectionState::Error).cloned().collect();
        assert_eq!((names(&cards), names(&bad)), ("a b c d".into(), "b c".into()), "{limit} at a time");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_listed_under_what_is_out_of_date_is_found_under_what_is_known_here() {
    let world = World::new().await;
    world.connect("acme", Duration::ZERO, None).await;
    world.connect("beta", HOUR, None).await;
    world.flexslot.revoke("acme");
    renew_without_the_store(&world, "acme").await;
    let found = async |state| names(&all(&world, &CardQuery { state: Some(state), ..query(5) }).await);
    assert_eq!(found(ConnectionState::ReconnectRequired).await, "acme");
    assert_eq!(found(ConnectionState::Connected).await, "beta");
    let page = page(&world, &query(5)).await;
    assert_eq!(
        (page.cards[0].reason.clone(), page.cards[0].next_step),
        (Some(Reason::InvalidGrant), Some(NextStep::Reconnect))
    );
}

#[tokio::test(start_paused = true)]
async fn without_the_store_there_are_no_cards() {
    let world = crowd().await;
    world.backend.halt();
    assert!(world.credentials.card(&tenant("c1")).await.is_err());
    assert!(world.credentials.cards(&query(5)).await.is_err());
}
