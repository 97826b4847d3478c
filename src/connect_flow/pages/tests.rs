use axum::response::IntoResponse;
use http::StatusCode;
use url::Url;

use super::{confirm, connected, offer, refused};
use crate::{
    connect_flow::{
        Refusal, Refused, Settings,
        begin::{Offer, Standing},
        cookie::Reader,
        outcome::{Confirmation, ErrorCode, GivenBack},
        tests::settings,
    },
    credential::{Connected, SessionOutcome, StoreError},
    flexslot::{NoClient, TokenError},
    model::{Identity, ScopeSet, SessionId},
    web::Page,
};

/// Everything that can be refused.
fn every_refusal() -> Vec<Refusal> {
    let codes = [
        ErrorCode::InvalidRequest,
        ErrorCode::UnauthorizedClient,
        ErrorCode::UnsupportedResponseType,
        ErrorCode::InvalidScope,
        ErrorCode::ServerError,
        ErrorCode::TemporarilyUnavailable,
        ErrorCode::Unknown,
    ];
    let errors = [
        TokenError::NotSent("could not connect".into()),
        TokenError::RefusedForNow { what: "429".into(), retry_after: None },
        TokenError::Unknown("no answer in time".into()),
        TokenError::Revoked,
        TokenError::Misconfigured("check oauth.client_id".into()),
    ];
    let others = [
        Refusal::UnknownLink,
        Refusal::UsedLink(SessionOutcome::Connected),
        Refusal::UsedLink(SessionOutcome::Denied),
        Refusal::UsedLink(SessionOutcome::Failed("server_error".into())),
        Refusal::TooManyFlows,
        Refusal::Waiting,
        Refusal::NoClient(NoClient::None),
        Refusal::NoAnswer,
        Refusal::OtherBrowser,
        Refusal::Spent,
        Refusal::OtherIssuer,
        Refusal::Denied,
        Refusal::Kept,
        Refusal::Unusable("the token answer has no refresh token", GivenBack::Yes),
        Refusal::Unusable("the token answer has no refresh token", GivenBack::No),
        Refusal::NoWayBack,
        Refusal::Overtaken,
        Refusal::Busy,
        Refusal::Store(StoreError::Unavailable("canary".into())),
    ];
    let codes = codes.into_iter().map(Refusal::Flexslot);
    codes.chain(errors.into_iter().map(Refusal::Token)).chain(others).collect()
}

fn text(page: &Page) -> String {
    page.document().into_string()
}

fn status(page: Page) -> StatusCode {
    page.into_response().status()
}

fn identity(name: &str) -> Identity {
    Identity { sub: format!("sub-{name}"), username: Some(name.into()) }
}

#[test]
fn every_refusal_has_a_page_with_a_heading_and_a_way_on() {
    for why in every_refusal() {
        for again in [None, Some(SessionId::from_text("s-1"))] {
            let page = refused(&Refused { why: why.clone(), tenant: None, again }, &settings());
            let html = text(&page);
            assert_eq!(html.matches("<h1").count(), 1, "{why:?}");
            let goes_on =
                ["Try again", "start again", "close this window", "tell whoever runs this app", "new one", "new link"];
            assert!(goes_on.iter().any(|words| html.contains(words)), "{why:?}: {html}");
            assert!(!html.contains("canary"), "{why:?}");
            // Words that leak how it is made (Flexslot's guide on connected apps).
            assert!(!html.contains("Flexslot token") && !html.contains("API key"), "{why:?}");
            let is_good = matches!(why, Refusal::Kept);
            assert_eq!(status(page).is_success(), is_good, "{why:?}");
        }
    }
}

#[test]
fn only_a_link_that_is_open_is_offered_again() {
    let page = |again| text(&refused(&Refused { why: Refusal::Denied, tenant: None, again }, &settings()));
    assert!(
        page(Some(SessionId::from_text("s-1")))
            .contains("<a class=\"button main\" href=\"/connect/s-1\">Try again</a>")
    );
    assert!(!page(None).contains("<a "));
}

#[test]
fn an_offer_says_who_asks_for_whom_and_what() {
    let asked = Offer {
        tenant: "acme".parse().unwrap(),
        client_id: "flx_<client>".into(),
        scopes: ScopeSet::new("decks:read guides:write"),
        standing: Standing::New,
    };
    let html = text(&offer(&asked, &settings()));
    for words in [
        "<h1>Connect Flexslot</h1>",
        "acme",
        "flx_&lt;client&gt;",
        "Read your decks",
        "change and delete your sideboard guides",
    ] {
        assert!(html.contains(words), "{words}: {html}");
    }
    assert!(html.contains("<form method=\"post\">"), "back to its own address, whatever is before it");
    let html =
        text(&offer(&Offer { standing: Standing::Connected(Some("<george>".into())), ..asked.clone() }, &settings()));
    assert!(html.contains("<h1>Reconnect Flexslot</h1>") && html.contains("connected as @&lt;george&gt;. That stays"));
    let more = Offer { standing: Standing::AllowsLess(Some("george".into())), ..asked.clone() };
    let html = text(&offer(&more, &settings()));
    assert!(html.contains("<h1>Allow more on Flexslot</h1>") && html.contains("It is connected as @george."), "{html}");
    assert!(html.contains("You are about to let <strong>acme</strong> do more with your Flexslot account."), "{html}");
    let html = text(&offer(&Offer { standing: Standing::Ended(None), ..asked }, &settings()));
    assert!(html.contains("<h1>Reconnect Flexslot</h1>") && html.contains("It was connected before."), "{html}");
}

#[test]
fn an_offers_form_may_lead_to_flexslot_and_to_the_app() {
    let asked = Offer {
        tenant: "acme".parse().unwrap(),
        client_id: "c".into(),
        scopes: ScopeSet::new("decks:read"),
        standing: Standing::New,
    };
    let around = Settings { flexslot: "http://127.0.0.1:8080".parse().ok(), ..settings() };
    let response = offer(&asked, &around).into_response();
    let policy = response.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("form-action 'self' https: http://127.0.0.1:8080 https://app.example.com;"), "{policy}");
}

#[test]
fn a_connection_is_named_as_flexslots_guide_names_it() {
    let new = Connected {
        tenant: "acme".parse().unwrap(),
        identity: Some(identity("george")),
        scopes: ScopeSet::new("decks:read"),
    };
    let html = text(&connected(&new, &settings(), Reader::User));
    for words in ["Connected to Flexslot as @george", "acme", "This app can:", "Read your decks", "Manage on Flexslot"]
    {
        assert!(html.contains(words), "{words}: {html}");
    }
    let html = text(&connected(&Connected { identity: None, ..new }, &settings(), Reader::User));
    assert!(html.contains("Connected to Flexslot</span>") && !html.contains(" as @"), "{html}");
}

#[test]
fn only_who_comes_from_the_connections_page_is_led_back_there() {
    let new = Connected { tenant: "acme".parse().unwrap(), identity: None, scopes: ScopeSet::new("") };
    let user = text(&connected(&new, &settings(), Reader::User));
    assert!(user.contains("You can close this window.") && !user.contains("Back to the connections"), "{user}");
    let operator = text(&connected(&new, &settings(), Reader::Operator));
    assert!(operator.contains("href=\"/\">Back to the connections</a>"), "{operator}");
    assert!(!operator.contains("You can close this window."), "{operator}");
}

#[test]
fn who_is_asked_sees_both_accounts_and_is_not_led_to_the_new_one() {
    let asked = Confirmation {
        session: SessionId::from_text("s-1"),
        tenant: "acme".parse().unwrap(),
        before: Some(identity("george")),
        now: Some(identity("<fred>")),
    };
    let public = "https://app.example.com/flexslot";
    let around = Settings {
        public_url: Some(public.parse().unwrap()),
        redirect_uri: format!("{public}/oauth/callback").parse().unwrap(),
        ..settings()
    };
    let html = text(&confirm(&asked, &around));
    assert!(html.contains("<strong>@george</strong>") && html.contains("<strong>@&lt;fred&gt;</strong>"), "{html}");
    assert!(html.contains("action=\"/flexslot/connect/s-1/confirm\"><button>Use @&lt;fred&gt;"), "{html}");
    assert!(
        html.contains("action=\"/flexslot/connect/s-1/cancel\"><button class=\"main\">Leave it as it was"),
        "{html}"
    );
    let html = text(&confirm(&Confirmation { before: None, now: None, ..asked }, &settings()));
    assert!(html.contains("does not say as whom") && html.contains("Use the new account"), "{html}");
}

#[test]
fn pages_name_nothing_of_other_sites_but_flexslots_own_page() {
    for why in every_refusal() {
        let html = text(&refused(&Refused { why, tenant: None, again: None }, &settings()));
        assert!(!html.contains("href=\"http") && !html.contains("src="), "{html}");
    }
    assert!(Url::parse(&settings().manage_url).is_ok());
}
