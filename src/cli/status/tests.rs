//! Cards in the terminal, as text.

use std::time::Duration;

use anstream::adapter::strip_str;

use super::{
    card::{Surroundings, draw},
    frame::Fitted,
};
use crate::model::{Card, ConnectionState, CredentialKind, NextStep, PatState, Reason, ScopeSet, Timestamp};

const NOW: Timestamp = Timestamp::from_secs(1_795_200_000);
const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn never_connected() -> Card {
    Card {
        tenant: "acme".parse().unwrap(),
        state: ConnectionState::NotConnected,
        serves: None,
        username: None,
        scopes: ScopeSet::unknown(),
        lacks: ScopeSet::unknown(),
        pat: PatState::None,
        last_used: None,
        expires_at: None,
        refresh_expires_at: None,
        reason: None,
        next_step: Some(NextStep::Connect),
    }
}

fn connected() -> Card {
    Card {
        state: ConnectionState::Connected,
        serves: Some(CredentialKind::OAuth),
        username: Some("george".into()),
        scopes: ScopeSet::new("decks:read sideboards:read"),
        last_used: Some(NOW.minus(2 * MINUTE)),
        expires_at: Some(NOW.plus(58 * MINUTE)),
        refresh_expires_at: Some(NOW.plus(30 * DAY)),
        next_step: None,
        ..never_connected()
    }
}

fn ended() -> Card {
    Card {
        state: ConnectionState::ReconnectRequired,
        username: Some("george".into()),
        last_used: Some(NOW.minus(47 * DAY)),
        reason: Some(Reason::InvalidGrant),
        next_step: Some(NextStep::Reconnect),
        ..never_connected()
    }
}

fn drawn_in(card: &Card, columns: usize) -> String {
    let around = Surroundings { now: NOW, manage_url: "https://flexslot.gg/account/connected-apps".into() };
    strip_str(&Fitted(&draw(card, &around), columns).to_string()).to_string()
}

/// What a card says, without its frame.
fn said(card: &Card) -> String {
    let drawn = drawn_in(card, 80);
    let lines = drawn.lines().map(|line| line.trim_matches(['│', '┌', '┐', '└', '┘', '─', ' ']));
    lines.filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[track_caller]
fn says(card: &Card, words: &str) {
    let said = said(card);
    assert!(said.replace('\n', " ").contains(words), "{words}:\n{said}");
}

#[test]
fn a_healthy_connection_is_named_with_what_it_may_do_and_how_to_end_it() {
    assert_eq!(
        drawn_in(&connected(), 200),
        "┌─ acme ───────────────────────────────────────────────────────────────────────┐\n\
         │ ✓ Connected to Flexslot as @george                                           │\n\
         │   Permissions: Read your decks; Read your sideboards                         │\n\
         │   Last used 2 minutes ago                                                    │\n\
         │                                                                              │\n\
         │   Manage on Flexslot: https://flexslot.gg/account/connected-apps             │\n\
         │   Disconnect: flexslot-proxy disconnect acme                                 │\n\
         └──────────────────────────────────────────────────────────────────────────────┘"
    );
}

#[test]
fn an_ended_connection_says_why_and_since_when_and_what_to_do() {
    assert_eq!(
        said(&ended()),
        "acme\n\
         ⚠ Connection expired. Please reconnect.\n\
         Access was revoked on Flexslot, or the connection was not used for 30\n\
         days.\n\
         It was connected as @george.\n\
         Last used 47 days ago\n\
         Syncing has stopped until you reconnect.\n\
         Reconnect Flexslot: flexslot-proxy connect acme"
    );
    let serves = Some(CredentialKind::Pat);
    says(&Card { serves, ..ended() }, "Syncing goes on with the personal access token.");
}

#[test]
fn a_connection_that_was_never_there_is_an_invitation() {
    assert_eq!(
        said(&never_connected()),
        "acme\n\
         Not connected\n\
         Connect your Flexslot account to sync decks and sideboard guides.\n\
         Connect Flexslot: flexslot-proxy connect acme"
    );
}

#[test]
fn a_connection_that_is_about_to_expire_says_when() {
    let card = Card {
        state: ConnectionState::Expiring,
        refresh_expires_at: Some(NOW.plus(6 * DAY + MINUTE)),
        next_step: Some(NextStep::Reconnect),
        ..connected()
    };
    says(&card, "⚠ Connected to Flexslot as @george It ends in 6 days unless it is used before.");
    says(&card, "Reconnect Flexslot: flexslot-proxy connect acme Manage on Flexslot:");
}

#[test]
fn a_connection_that_lacks_a_scope_says_which_and_the_command_that_asks_for_it() {
    let lacks = ScopeSet::new("decks:write guides:read");
    let reason = Some(Reason::LacksScopes(lacks.clone()));
    let card = Card { lacks, reason, next_step: Some(NextStep::AllowMore), ..connected() };
    says(&card, "Calls were refused: it needs permission to create, change and delete your decks, and to read your");
    says(&card, "Allow more on Flexslot: flexslot-proxy connect acme --scope decks:write --scope guides:read");
}

#[test]
fn trouble_says_what_mends_it() {
    let error = ConnectionState::Error;
    let other = Card {
        state: error,
        reason: Some(Reason::SubjectChanged),
        next_step: Some(NextStep::Reconnect),
        ..connected()
    };
    says(&other, "✗ Sorry, this connection needs attention. Flexslot now names another account for this connection.");
    says(&other, "flexslot-proxy connect acme Manage on Flexslot:");
    says(&other, "flexslot-proxy disconnect acme");
    let reason = Some(Reason::OtherClient("flx_client_old".into()));
    let client = Card { reason, next_step: Some(NextStep::FixConfig), ..other.clone() };
    says(&client, "the OAuth client flx_client_old, which neither the configuration nor the store has.");
    says(&client, "To be mended in the configuration, proxy.toml: flexslot-proxy check");
    let (reason, next_step) = (Some(Reason::PatRejected), Some(NextStep::SetPat));
    let pat = Card { state: error, reason, next_step, pat: PatState::Rejected, ..never_connected() };
    says(&pat, "Set another one: flexslot-proxy tenant set-pat acme");
    assert!(!said(&pat).contains("disconnect"), "{}", said(&pat));
    let waiting = Card { reason: Some(Reason::RefreshUncertain), next_step: None, ..other };
    says(&waiting, "There is nothing to do: it is tried again by itself.");
}

#[test]
fn a_personal_access_token_is_named_where_it_serves() {
    let serves = Some(CredentialKind::Pat);
    says(
        &Card { serves, pat: PatState::Ok, ..never_connected() },
        "✓ Works with a personal access token Not connected.",
    );
    let reason = Some(Reason::PatStandsIn);
    says(&Card { reason, ..connected() }, "Some calls use the personal access token instead of the connection.");
}

#[test]
fn what_is_not_known_of_a_connection_is_not_made_up() {
    let card = Card { username: None, scopes: ScopeSet::unknown(), last_used: None, ..connected() };
    says(&card, "Connected to Flexslot Permissions were not noted; Flexslot shows them. Not used yet");
    says(&Card { scopes: ScopeSet::new(""), ..connected() }, "Permissions: only what is public");
    says(&Card { scopes: ScopeSet::new("decks:read x:y"), ..connected() }, "Permissions: Read your decks; x:y");
}
