//! The pages, as text.

use std::time::Duration;

use super::{Surroundings, asked::Asked, disconnect::question, list::list, result::Outcome};
use crate::{
    credential::{CardPage, PageEnd, consent::DisconnectOutcome},
    model::{Card, ConnectionState, CredentialKind, NextStep, PatState, Reason, ScopeSet, Timestamp},
};

const NOW: Timestamp = Timestamp::from_secs(1_795_200_000);

const AROUND: Surroundings<'static> =
    Surroundings { now: NOW, manage_url: "https://flexslot.gg/account/connected-apps", csrf: "csrf-of-the-session" };

const SCOPES: [&str; 8] = [
    "cards:read",
    "decks:read",
    "decks:write",
    "exports:read",
    "guides:read",
    "guides:write",
    "sideboards:read",
    "sideboards:write",
];

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn never_connected(tenant: &str) -> Card {
    Card {
        tenant: tenant.parse().unwrap(),
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

fn connected(tenant: &str) -> Card {
    Card {
        state: ConnectionState::Connected,
        serves: Some(CredentialKind::OAuth),
        username: Some("george".into()),
        scopes: ScopeSet::new("decks:read cards:read"),
        last_used: Some(NOW.minus(2 * MINUTE)),
        expires_at: Some(NOW.plus(58 * MINUTE)),
        refresh_expires_at: Some(NOW.plus(30 * DAY)),
        next_step: None,
        ..never_connected(tenant)
    }
}

fn expiring(tenant: &str) -> Card {
    let refresh_expires_at = Some(NOW.plus(6 * DAY + MINUTE));
    Card { state: ConnectionState::Expiring, refresh_expires_at, ..connected(tenant) }
}

fn ended(tenant: &str) -> Card {
    Card {
        state: ConnectionState::ReconnectRequired,
        username: Some("george".into()),
        last_used: Some(NOW.minus(47 * DAY)),
        reason: Some(Reason::InvalidGrant),
        next_step: Some(NextStep::Reconnect),
        ..never_connected(tenant)
    }
}

fn broken(tenant: &str) -> Card {
    Card {
        state: ConnectionState::Error,
        serves: None,
        reason: Some(Reason::SubjectChanged),
        next_step: Some(NextStep::Reconnect),
        ..connected(tenant)
    }
}

fn pat_only(tenant: &str) -> Card {
    Card { serves: Some(CredentialKind::Pat), pat: PatState::Ok, ..never_connected(tenant) }
}

fn page(cards: Vec<Card>) -> CardPage {
    CardPage { cards, next: None, end: PageEnd::Complete }
}

fn shown(cards: &CardPage, asked: &Asked) -> String {
    list(asked, cards, &AROUND, None).document().into_string()
}

/// What a page says, without its markup.
fn said(html: &str) -> String {
    let main = html.split("<main>").nth(1).unwrap();
    let words: String =
        main.split('<').filter_map(|part| part.split_once('>')).map(|(_, text)| format!("{text} ")).collect();
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn card(card: Card) -> String {
    let html = shown(&page(vec![card]), &Asked::default());
    let (from, to) = (html.find("<ul class=\"cards\">").unwrap(), html.rfind("</ul>").unwrap());
    format!("<main>{}", &html[from..to])
}

#[track_caller]
fn says(html: &str, words: &str) {
    assert!(said(html).contains(words), "{words}:\n{}", said(html));
}

// === cards ===

#[test]
fn a_healthy_connection_is_named_with_what_it_may_do_and_how_to_end_it() {
    let html = card(connected("acme"));
    says(
        &html,
        "acme Connected to Flexslot as @george This app can: Read your decks Look up cards Last used 2 minutes ago",
    );
    says(&html, "Manage on Flexslot Disconnect");
    assert!(
        html.contains("<p class=\"says ok\"><svg class=\"sign\" aria-hidden=\"true\"><use href=\"#ok\"></use>"),
        "{html}"
    );
    assert!(html.contains(AROUND.manage_url) && html.contains("form=\"ask\" name=\"tenant\" value=\"acme\""), "{html}");
}

#[test]
fn a_connection_that_was_never_there_is_an_invitation() {
    let html = card(never_connected("acme"));
    says(&html, "acme Connect your Flexslot account to sync decks and sideboard guides. Connect Flexslot");
    assert!(html.contains("<li class=\"panel card new\">") && !said(&html).contains("Disconnect"), "{html}");
}

#[test]
fn an_ended_connection_says_why_and_since_when_and_what_to_do() {
    let html = card(ended("acme"));
    says(
        &html,
        "Connection expired. Please reconnect. Access was revoked on Flexslot, or the connection was not used for 30 days.",
    );
    says(
        &html,
        "It was connected as @george. Syncing has stopped until you reconnect. Last used 47 days ago Reconnect Flexslot",
    );
    assert!(html.contains("says warn"), "{html}");
    let serves = Some(CredentialKind::Pat);
    says(&card(Card { serves, ..ended("acme") }), "Syncing goes on with the personal access token.");
}

#[test]
fn a_connection_that_is_about_to_expire_says_when() {
    let html = card(expiring("acme"));
    says(&html, "Connected to Flexslot as @george It ends in 6 days unless it is used before.");
    says(&html, "Reconnect Flexslot Manage on Flexslot Disconnect");
    assert!(html.contains("says warn"), "{html}");
}

#[test]
fn a_broken_connection_is_polite_and_says_the_next_step() {
    let html = card(broken("acme"));
    says(
        &html,
        "Sorry, this connection needs attention. Flexslot now names another account for this connection. Please reconnect Flexslot.",
    );
    says(&html, "Reconnect Flexslot Manage on Flexslot Disconnect");
    assert!(html.contains("says bad"), "{html}");
}

#[test]
fn a_connection_that_lacks_a_scope_says_which_and_how_to_allow_it() {
    let lacks = ScopeSet::new("decks:write");
    let reason = Some(Reason::LacksScopes(lacks.clone()));
    let html = card(Card { lacks, reason, next_step: Some(NextStep::AllowMore), ..connected("acme") });
    says(&html, "Calls were refused: it needs permission to create, change and delete your decks. This app can:");
    says(&html, "Allow more on Flexslot Manage on Flexslot Disconnect");
    assert!(html.contains("says ok"), "{html}");
}

#[test]
fn trouble_that_a_consent_does_not_mend_has_no_button_for_one() {
    let reason = Some(Reason::OtherClient("flx_client_old".into()));
    let html = card(Card { reason, next_step: Some(NextStep::FixConfig), ..broken("acme") });
    says(&html, "which neither the configuration nor the store has. Whoever runs flexslot-proxy can mend this");
    assert!(!said(&html).contains("onnect Flexslot"), "{html}");
    let (reason, pat) = (Some(Reason::PatRejected), PatState::Rejected);
    let state = ConnectionState::Error;
    let html = card(Card { state, reason, pat, next_step: Some(NextStep::SetPat), ..never_connected("acme") });
    says(&html, "Please set one: flexslot-proxy tenant set-pat acme");
    assert!(!said(&html).contains("Disconnect"), "{html}");
    let waiting = card(Card { reason: Some(Reason::RefreshUncertain), next_step: None, ..broken("acme") });
    says(&waiting, "It is tried again by itself.");
}

#[test]
fn a_personal_access_token_is_named_where_it_serves() {
    let html = card(pat_only("acme"));
    says(&html, "Works with a personal access token Not connected. Once you connect your Flexslot account");
    says(&html, "Not used yet Connect Flexslot");
    let stands_in = Card { reason: Some(Reason::PatStandsIn), ..connected("acme") };
    says(&card(stands_in), "Some calls use the personal access token instead of the connection.");
}

#[test]
fn a_tenant_that_uses_no_connection_is_not_asked_to_connect() {
    let html = card(Card { next_step: Some(NextStep::SetPat), ..never_connected("acme") });
    says(&html, "acme It needs a personal access token. Please set one: flexslot-proxy tenant set-pat acme");
    assert!(!html.contains("<button"), "{html}");
    assert!(!card(Card { next_step: None, ..pat_only("acme") }).contains("<button"));
    let (reason, pat) = (Some(Reason::PatRejected), PatState::Rejected);
    let html = card(Card { reason, pat, next_step: Some(NextStep::SetPat), ..never_connected("acme") });
    says(&html, "Flexslot refuses the personal access token. Please set one: flexslot-proxy tenant set-pat acme");
    says(&html, "Connect Flexslot");
}

#[test]
fn a_connection_that_may_be_over_by_the_calendar_does_not_say_that_it_ends() {
    let html = card(Card { refresh_expires_at: Some(NOW.minus(DAY)), ..expiring("acme") });
    assert!(!said(&html).contains("It ends"), "{}", said(&html));
    says(&html, "Reconnect Flexslot");
}

#[test]
fn what_is_not_known_of_a_connection_is_not_made_up() {
    let html = card(Card { username: None, scopes: ScopeSet::unknown(), last_used: None, ..connected("acme") });
    says(&html, "acme Connected to Flexslot What this app can do was not noted; Flexslot shows it. Not used yet");
}

#[test]
fn names_are_text_whatever_is_in_them() {
    let html = card(Card { username: Some("<img src=x>".into()), scopes: ScopeSet::new("\"><b>"), ..connected("a") });
    assert!(html.contains("@&lt;img src=x&gt;") && html.contains("<li>&quot;&gt;&lt;b&gt;</li>"), "{html}");
}

#[test]
fn every_act_is_named_with_its_tenant() {
    let html = shown(&page(vec![connected("acme"), ended("beta")]), &Asked::default());
    assert!(html.contains("<h2 id=\"t0\">acme</h2>") && html.contains("<h2 id=\"t1\">beta</h2>"), "{html}");
    for act in ["id=\"m0\"", "id=\"d0\"", "id=\"b1\""] {
        assert!(html.contains(act), "{act}: {html}");
    }
    assert!(html.contains("aria-labelledby=\"d0 t0\"") && html.contains("aria-labelledby=\"b1 t1\""), "{html}");
}

// === the list ===

#[test]
fn filters_say_which_is_on_and_keep_the_search() {
    let asked = Asked { search: Some("ac".into()), state: Some(ConnectionState::Expiring), after: None };
    let html = shown(&page(vec![expiring("acme")]), &asked);
    assert_eq!(html.matches("aria-current=").count(), 1);
    assert!(
        html.contains("<a href=\"./?search=ac&amp;state=expiring\" aria-current=\"true\">Expiring soon</a>"),
        "{html}"
    );
    assert!(html.contains("<a href=\"./?search=ac\">All</a>"), "{html}");
    assert!(html.contains("<input type=\"hidden\" name=\"state\" value=\"expiring\">"), "{html}");
}

#[test]
fn what_is_done_with_a_card_comes_back_to_its_part_of_the_list() {
    let asked = Asked { search: Some("b".into()), state: None, after: Some("b1".parse().unwrap()) };
    let html = shown(&page(vec![connected("b2")]), &asked);
    let form = html.split("<form id=\"ask\" action=\"disconnect\">").nth(1).unwrap().split("</form>").next().unwrap();
    assert!(form.contains("name=\"search\" value=\"b\"") && form.contains("name=\"after\" value=\"b1\""), "{form}");
    let html = question(&"b2".parse().unwrap(), &asked, &AROUND).document().into_string();
    assert!(html.contains("<a class=\"button\" href=\"./?search=b&amp;after=b1\">Keep connected</a>"), "{html}");
    assert!(html.contains("<input type=\"hidden\" name=\"after\" value=\"b1\">"), "{html}");
}

#[test]
fn a_full_page_leads_to_the_next_and_a_later_one_to_the_first() {
    let full = CardPage { next: Some("acme".parse().unwrap()), end: PageEnd::Full, ..page(vec![connected("acme")]) };
    let html = shown(&full, &Asked::default());
    assert!(html.contains("href=\"./?after=acme\" rel=\"next\">Next page</a>"), "{html}");
    assert!(!said(&html).contains("First page"), "{html}");
    let html = shown(&page(Vec::new()), &Asked { after: Some("acme".parse().unwrap()), ..Asked::default() });
    says(&html, "There are no more connections. First page");
    assert!(!said(&html).contains("Next page"), "{html}");
}

#[test]
fn a_search_that_stopped_early_says_how_far_it_came() {
    let stopped = CardPage { next: Some("m17".parse().unwrap()), end: PageEnd::StoppedEarly, cards: Vec::new() };
    let html = shown(&stopped, &Asked { state: Some(ConnectionState::Error), ..Asked::default() });
    says(&html, "Searched as far as m17 . There may be more. Search on");
    assert!(!said(&html).contains("No connection is like that"), "{html}");
}

#[test]
fn an_empty_list_says_why() {
    let empty = page(Vec::new());
    says(&shown(&empty, &Asked::default()), "No connections yet");
    let narrowed = Asked { search: Some("zz".into()), ..Asked::default() };
    says(&shown(&empty, &narrowed), "No connection is like that. Show all");
}

#[test]
fn the_question_is_in_the_words_of_flexslots_guide() {
    let html = question(&"acme".parse().unwrap(), &Asked::default(), &AROUND).document().into_string();
    says(
        &html,
        "Disconnect from Flexslot? acme Your synced data will stay; future syncs will stop until you reconnect.",
    );
    assert!(html.contains("<input type=\"hidden\" name=\"csrf\" value=\"csrf-of-the-session\">"), "{html}");
    assert!(html.contains("<button class=\"stop\" name=\"tenant\" value=\"acme\">Disconnect</button>"), "{html}");
}

#[test]
fn what_was_done_is_told_first_and_aloud() {
    for (what, words) in [
        (DisconnectOutcome::Revoked, "acme is disconnected from Flexslot."),
        (DisconnectOutcome::Queued, "acme is disconnected. Flexslot cannot be reached at the moment"),
        (DisconnectOutcome::Ended, "acme is disconnected. Its connection had ended before."),
        (DisconnectOutcome::NothingToDisconnect, "acme was not connected."),
    ] {
        let outcome = Outcome { tenant: "acme".parse().unwrap(), what };
        let html = list(&Asked::default(), &page(Vec::new()), &AROUND, Some(&outcome)).document().into_string();
        says(&html, words);
        assert!(html.contains("id=\"result\"") && html.contains("role=\"status\" tabindex=\"-1\""), "{html}");
        assert!(html.contains(&format!("<title>{}</title>", outcome.title())), "{html}");
    }
}

// === all of it ===

fn of_every_kind() -> Vec<Card> {
    let mut cards = vec![never_connected("a"), connected("b"), expiring("c"), ended("d"), pat_only("e")];
    let reasons = [
        Reason::InvalidGrant,
        Reason::RefreshOutcomeLost,
        Reason::Disconnected,
        Reason::RefreshUncertain,
        Reason::OtherClient("flx_client_old".into()),
        Reason::OtherOrigin("https://api.flexslot.gg".parse().unwrap()),
        Reason::TokenUnusable,
        Reason::SubjectChanged,
        Reason::UnauthorizedAfterRefresh,
        Reason::Unreadable("record g:acme".into()),
        Reason::PatRejected,
        Reason::PatStandsIn,
    ];
    let steps = [NextStep::Connect, NextStep::Reconnect, NextStep::SetPat, NextStep::FixConfig].map(Some);
    for (reason, step) in reasons.into_iter().zip(steps.into_iter().chain([None]).cycle()) {
        cards.push(Card { reason: Some(reason), next_step: step, ..broken("f") });
    }
    cards
}

/// Flexslot's guide: they leak implementation details.
#[test]
fn words_that_leak_how_it_is_built_are_nowhere() {
    let words = said(&shown(&page(of_every_kind()), &Asked::default())).to_lowercase();
    for leak in ["flexslot token", "api key", "token saved", "access_token", "refresh token", "oauth token", "grant"] {
        assert!(!words.contains(leak), "{leak}:\n{words}");
    }
    assert!(!words.replace("personal access token", "").contains("token"), "{words}");
}

#[test]
fn fifty_cards_are_one_answer_of_less_than_50_kb() {
    let asked = Asked { search: Some("customer-".into()), state: None, after: Some("customer-1".parse().unwrap()) };
    let scopes = ScopeSet::new("cards:read decks:read decks:write exports:read guides:read sideboards:read");
    let draw = |at| match (at % 5, format!("customer-{at:08}")) {
        (0, name) => ended(&name),
        (1, name) => expiring(&name),
        (_, name) => Card { scopes: scopes.clone(), ..connected(&name) },
    };
    let html = shown(&page((0..50).map(draw).collect()), &asked);
    println!("fifty cards: {} bytes", html.len());
    assert_eq!(html.matches("<h2 ").count(), 50);
    assert!(html.len() < 50_000, "{}", html.len());
}

/// Names as long as they may be, every scope that there is, and as many buttons as a card can have.
#[test]
fn what_does_not_fit_into_50_kb_is_on_the_next_page() {
    let scopes = SCOPES.join(" ");
    let name = |at: usize| format!("{}{at:02}", "x".repeat(126));
    let longest = |at| Card { scopes: ScopeSet::new(&scopes), username: Some("m".repeat(128)), ..expiring(&name(at)) };
    let cards = page((0..50).map(longest).collect());
    let asked = Asked {
        search: Some("|".repeat(128)),
        state: Some(ConnectionState::Expiring),
        after: Some("x".repeat(128).parse().unwrap()),
    };
    let outcome = Outcome { tenant: name(0).parse().unwrap(), what: DisconnectOutcome::Queued };
    let html = list(&asked, &cards, &AROUND, Some(&outcome)).document().into_string();
    assert!(html.len() < 50_000, "{}", html.len());
    let shown = html.matches("<h2 ").count();
    println!("{shown} of the longest cards: {} bytes", html.len());
    assert!(html.contains(&format!("after={}\" rel=\"next\">Next page</a>", name(shown - 1))), "{html}");
}
