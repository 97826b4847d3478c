//! The description of the API, which is written by hand: that it names every route, every field and every word.

use std::collections::BTreeSet;

use flexslot_proxy::{
    admin::client::{
        CardDocument, CardList, Completed, ConnectSession, Disconnected, ProofDocument, Revocation, SignInLink,
    },
    model::{
        Card, ConnectionState, CredentialKind, NextStep, PatState, Reason, ScopeSet, problem::Action, scope::CATALOGUE,
    },
};
use serde::Serialize;
use serde_json::Value;

use super::reading::read;

fn description() -> Value {
    serde_json::from_str(&read("src/admin/openapi/openapi.json")).expect("JSON")
}

/// `METHOD path` of every route that a source file adds.
fn routes(file: &str) -> BTreeSet<String> {
    let source = read(file);
    let mut routes = BTreeSet::new();
    for route in source.split(".route(\"").skip(1) {
        let (path, handlers) = route.split_once('"').expect("a path");
        let mut depth = 1;
        let ends = |c: char| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            depth == 0
        };
        let handlers = &handlers[..handlers.find(ends).expect("the end of the route")];
        for method in ["get", "put", "post", "delete", "patch"] {
            let call = format!("{method}(");
            if handlers
                .match_indices(&call)
                .any(|(at, _)| !handlers[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || "_:".contains(c)))
            {
                routes.insert(format!("{} {path}", method.to_uppercase()));
            }
        }
    }
    routes
}

#[test]
fn every_route_of_the_api_is_described_and_no_other() {
    let description = description();
    let mut described = BTreeSet::new();
    for (path, item) in description["paths"].as_object().expect("paths") {
        let methods = item.as_object().expect("a path's methods").keys().filter(|key| *key != "parameters");
        described.extend(methods.map(|method| format!("{} {path}", method.to_uppercase())));
    }
    let mut routed = routes("src/admin/api/mod.rs");
    routed.extend(routes("src/admin/mod.rs"));
    assert!(routed.len() > 10, "{routed:?}");
    assert_eq!(described, routed);
}

#[test]
fn the_description_is_of_this_version() {
    assert_eq!(description()["info"]["version"], env!("CARGO_PKG_VERSION"));
}

fn card() -> Card {
    Card {
        tenant: "acme".parse().expect("a name"),
        state: ConnectionState::Error,
        serves: None,
        username: None,
        scopes: ScopeSet::new("decks:read"),
        lacks: ScopeSet::unknown(),
        pat: PatState::Ok,
        last_used: None,
        expires_at: None,
        refresh_expires_at: None,
        reason: None,
        next_step: None,
    }
}

#[track_caller]
fn assert_described(name: &str, document: impl Serialize) {
    let schema = &description()["components"]["schemas"][name];
    let names = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<BTreeSet<_>>();
    let written = names(&serde_json::to_value(document).expect("JSON"));
    assert_eq!(names(&schema["properties"]), written, "{name}");
    let required = schema["required"].as_array().expect("what is required").iter();
    assert_eq!(required.map(|name| name.as_str().expect("a name").to_owned()).collect::<BTreeSet<_>>(), written);
}

#[test]
fn every_document_has_the_fields_that_are_described() {
    let card = CardDocument::new(&card(), "https://flexslot.gg/account/connected-apps");
    let text = String::new;
    assert_described("Scope", &card.scopes[0]);
    assert_described("Card", &card);
    assert_described("CardList", CardList { tenants: vec![card], next: None });
    assert_described("ConnectSession", ConnectSession { id: text(), url: text(), expires_at: text() });
    assert_described("Completed", Completed { tenant: text(), username: None, scopes: Vec::new() });
    assert_described("Disconnected", Disconnected { revocation: Revocation::None });
    assert_described("SignInLink", SignInLink { url: text(), expires_at: text() });
    assert_described("Proof", ProofDocument { proof: text() });
}

/// The words of an enumeration, without null.
fn words(schema: &Value) -> Vec<String> {
    let words = schema["enum"].as_array().expect("an enumeration").iter();
    words.filter_map(Value::as_str).map(str::to_owned).collect()
}

#[test]
fn every_word_is_described() {
    let schemas = &description()["components"]["schemas"];
    let card = &schemas["Card"]["properties"];
    assert_eq!(words(&schemas["State"]), ConnectionState::ALL.map(ConnectionState::as_str));
    let kinds = [CredentialKind::OAuth, CredentialKind::Pat].map(CredentialKind::as_str);
    assert_eq!(words(&card["serves"]), [&kinds[..], &["none"]].concat());
    assert_eq!(words(&card["pat"]), [PatState::None, PatState::Ok, PatState::Rejected].map(PatState::as_str));
    let steps = [NextStep::Connect, NextStep::Reconnect, NextStep::AllowMore, NextStep::SetPat, NextStep::FixConfig];
    assert_eq!(words(&card["action"]), steps.map(NextStep::as_str));
    let reasons = [
        Reason::InvalidGrant,
        Reason::RefreshOutcomeLost,
        Reason::ClientRevoked,
        Reason::Disconnected,
        Reason::RefreshUncertain,
        Reason::OtherClient(String::new()),
        Reason::OtherOrigin("https://api.flexslot.gg".parse().expect("an origin")),
        Reason::TokenUnusable,
        Reason::LacksScopes(ScopeSet::unknown()),
        Reason::SubjectChanged,
        Reason::UnauthorizedAfterRefresh,
        Reason::Unreadable(String::new()),
        Reason::PatRejected,
        Reason::PatStandsIn,
    ];
    assert_eq!(words(&card["reason"]), reasons.map(|reason| reason.as_str()));
    let wished = &schemas["ConnectWish"]["properties"]["scopes"]["anyOf"];
    let scopes = CATALOGUE.map(|(name, _)| name);
    assert_eq!(words(&wished[0]["items"]), scopes);
    let either = scopes.join("|");
    assert_eq!(wished[1]["pattern"], format!("^({either})( ({either}))*$"));
    let actions = [Action::Reconnect, Action::FixConfig, Action::FixRequest, Action::Retry];
    assert_eq!(words(&schemas["Problem"]["properties"]["action"]), actions.map(Action::as_str));
}
