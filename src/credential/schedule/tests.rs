use std::time::Duration;

use tokio::time::Instant;

use super::{OutOfTurn, Plan, REFRESH_TOKEN_LIFE, Share, keep_alive_due};
use crate::{
    credential::RefreshPolicy,
    model::{GrantId, Random, ScopeSet, Secret, Timestamp, TokenSet, TokenType, Version},
    store::GrantSummary,
};

const ANSWERED: Timestamp = Timestamp::from_secs(1_795_200_000);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 3600);

fn tokens() -> TokenSet {
    TokenSet {
        access: Secret::new("a"),
        refresh: Secret::new("r"),
        token_type: TokenType::Bearer,
        scopes: ScopeSet::unknown(),
        expires_at: ANSWERED.plus(60 * MINUTE),
        answered_at: Some(ANSWERED),
        key: None,
    }
}

/// The plans of two processes for the same thousand grants, with the shares of these.
fn plans(policy: &RefreshPolicy) -> Vec<(Share, [Plan; 2])> {
    let random = Random::system();
    let plan = |share| Plan::new(&tokens(), share, policy, &random);
    let shares = (0..1000).map(|_| Share::new(GrantId::random(&random), Version::FIRST));
    shares.map(|share| (share, [plan(share), plan(share)])).collect()
}

fn summary() -> GrantSummary {
    GrantSummary {
        id: GrantId::random(&Random::system()),
        version: Version::from_stored(7),
        client_id: "cli_1".into(),
        origin: "https://api.flexslot.gg".parse().unwrap(),
        token_type: TokenType::Bearer,
        scopes: ScopeSet::unknown(),
        expires_at: ANSWERED.plus(60 * MINUTE),
        answered_at: Some(ANSWERED),
        intent: None,
    }
}

#[test]
fn who_was_connected_together_has_turns_evenly_over_the_window() {
    let opens = tokens().expires_at.minus(5 * MINUTE);
    let mut per_minute = [0; 5];
    for (_, plans) in plans(&RefreshPolicy::default()) {
        for plan in plans {
            assert!(plan.opens >= opens && plan.opens < opens.plus(Duration::from_secs(10)), "{plan:?}");
            assert!(plan.turn >= plan.opens && plan.turn < tokens().expires_at, "{plan:?}");
            per_minute[usize::try_from(plan.turn.left(opens).as_secs() / 60).unwrap()] += 1;
        }
    }
    assert!(per_minute.iter().all(|turns| (320..480).contains(turns)), "400 are expected: {per_minute:?}");
}

#[test]
fn every_process_has_the_same_turn_in_mind_for_a_grant() {
    for (_, [one, other]) in plans(&RefreshPolicy::default()) {
        let apart = one.turn.left(other.turn).max(other.turn.left(one.turn));
        assert!(apart < Duration::from_secs(10), "{apart:?}");
    }
}

#[test]
fn spread_lets_windows_open_and_turns_come_earlier() {
    let policy = RefreshPolicy { spread: 20 * MINUTE, ..RefreshPolicy::default() };
    let earliest = tokens().expires_at.minus(25 * MINUTE);
    let plans = plans(&policy);
    for (_, [plan, _]) in &plans {
        assert!(earliest <= plan.opens && plan.opens <= plan.turn && plan.turn < tokens().expires_at, "{plan:?}");
    }
    let is_early = |at: Timestamp| at < tokens().expires_at.minus(10 * MINUTE);
    let early = |at: fn(&Plan) -> Timestamp| plans.iter().filter(|(_, [plan, _])| is_early(at(plan))).count();
    assert!((520..680).contains(&early(|plan| plan.turn)), "15 of 25 minutes");
    assert!((680..820).contains(&early(|plan| plan.opens)), "15 of 20 minutes");
}

#[test]
fn another_version_has_another_share() {
    let id = GrantId::random(&Random::system());
    assert_ne!(Share::new(id, Version::FIRST), Share::new(id, Version::from_stored(2)));
}

#[test]
fn a_few_per_second_go_out_of_turn() {
    let (mut out_of_turn, now) = (OutOfTurn::default(), Instant::now());
    assert_eq!(admitted(&mut out_of_turn, 10, now), 5);
    assert_eq!(admitted(&mut out_of_turn, 10, now + Duration::from_millis(999)), 0);
    assert_eq!(admitted(&mut out_of_turn, 10, now + Duration::from_secs(1)), 5);
}

#[test]
fn in_a_crowd_nobody_goes_out_of_turn() {
    let (mut out_of_turn, now) = (OutOfTurn::default(), Instant::now());
    assert_eq!(admitted(&mut out_of_turn, 100, now), 5, "nobody knows yet");
    assert_eq!(admitted(&mut out_of_turn, 100, now + Duration::from_secs(1)), 0);
    assert_eq!(admitted(&mut out_of_turn, 10, now + Duration::from_secs(2)), 0);
    assert_eq!(admitted(&mut out_of_turn, 10, now + Duration::from_secs(3)), 5, "the crowd is gone");
}

#[test]
fn those_who_come_in_turn_make_a_crowd_too() {
    let (mut out_of_turn, now) = (OutOfTurn::default(), Instant::now());
    (0..100).for_each(|_| out_of_turn.note_one(now));
    assert_eq!(admitted(&mut out_of_turn, 10, now + Duration::from_secs(1)), 0);
}

/// Of so many who want to go out of turn at a time, how many may.
fn admitted(out_of_turn: &mut OutOfTurn, wanted: usize, at: Instant) -> usize {
    (0..wanted).filter(|_| out_of_turn.admits(at)).count()
}

#[test]
fn a_grant_in_use_is_kept_alive_after_the_period_and_a_tenth() {
    let period = 20 * DAY;
    for _ in 0..100 {
        let due = keep_alive_due(&summary(), Some(ANSWERED.plus(MINUTE)), period).unwrap();
        assert!(due >= ANSWERED.plus(period) && due < ANSWERED.plus(22 * DAY), "{due}");
    }
}

#[test]
fn the_longest_period_leaves_time_before_the_refresh_token_dies() {
    for _ in 0..100 {
        let due = keep_alive_due(&summary(), Some(ANSWERED), 29 * DAY).unwrap();
        assert!(due < ANSWERED.plus(REFRESH_TOKEN_LIFE - DAY / 2), "{due}");
    }
}

#[test]
fn a_grant_that_nobody_has_used_since_it_was_kept_alive_is_left() {
    assert_eq!(keep_alive_due(&summary(), Some(ANSWERED.minus(20 * DAY)), 20 * DAY), None);
    assert_eq!(keep_alive_due(&summary(), None, 20 * DAY), None);
}

#[test]
fn the_use_that_led_to_the_last_answer_counts() {
    assert!(keep_alive_due(&summary(), Some(ANSWERED.minus(MINUTE)), 20 * DAY).is_some());
}

#[test]
fn connecting_and_importing_count_as_use() {
    let connected = GrantSummary { version: Version::FIRST, ..summary() };
    assert!(keep_alive_due(&connected, None, 20 * DAY).is_some());
    let imported = GrantSummary { answered_at: None, ..connected };
    let due = keep_alive_due(&imported, None, 20 * DAY).unwrap();
    assert!(due >= ANSWERED.plus(20 * DAY), "an hour before its end at the earliest: {due}");
}
