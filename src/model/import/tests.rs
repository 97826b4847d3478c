//! Lines good and bad.

use super::{ImportGrant, ImportLine};
use crate::model::{ScopeSet, Secret, Timestamp, TokenType, json::Object};
use proptest::prelude::*;

fn parse(text: &str) -> Result<ImportLine, String> {
    ImportLine::parse(text.as_bytes()).map_err(|fault| fault.to_string())
}

fn grant(text: &str) -> ImportGrant {
    parse(text).unwrap().grant.unwrap()
}

#[test]
fn natural_names_are_understood() {
    let line = parse(
        r#"{"tenant":"acme","pat":"flx_pat_1","access_token":"a","refresh_token":"r","expires_at":"2026-11-20T18:40:00Z",
            "scope":"decks:read  cards:read","client_id":"c","token_type":"bearer"}"#,
    );
    let grant = ImportGrant {
        access: Secret::new("a"),
        refresh: Secret::new("r"),
        expires_at: Timestamp::from_secs(1_795_200_000),
        scopes: ScopeSet::new("decks:read cards:read"),
        client_id: Some("c".into()),
        token_type: TokenType::Bearer,
        key: None,
    };
    let expected =
        ImportLine { tenant: "acme".parse().unwrap(), pat: Some(Secret::new("flx_pat_1")), grant: Some(grant) };
    assert_eq!(line, Ok(expected));
}

#[test]
fn column_names_are_understood() {
    let line = r#"{"tenant":"beta","flexslot_pat":null,"flexslot_access_token":"a","flexslot_refresh_token":"r","flexslot_expires_at":1795200000}"#;
    assert_eq!(parse(line).unwrap().pat, None);
    let grant = grant(line);
    assert_eq!((grant.expires_at, grant.scopes), (Timestamp::from_secs(1_795_200_000), ScopeSet::unknown()));
}

#[test]
fn times_come_in_several_forms() {
    for time in [
        "1795200000",
        "\"1795200000\"",
        "1795200000.9",
        "\"2026-11-20T19:40:00+01:00\"",
        "\"2026-11-20T18:40:00.5Z\"",
        "\"2026-11-20 18:40:00Z\"",
    ] {
        let line = format!(r#"{{"tenant":"a","access_token":"a","refresh_token":"r","expires_at":{time}}}"#);
        assert_eq!(grant(&line).expires_at, Timestamp::from_secs(1_795_200_000), "{time}");
    }
    for time in
        ["1795200000000", "-1", "1e300", "\"soon\"", "\"2026-11-20T18:40:00\"", "\"2026-11-20\"", "true", "\"\"", "[]"]
    {
        let line = format!(r#"{{"tenant":"a","access_token":"a","refresh_token":"r","expires_at":{time}}}"#);
        assert!(parse(&line).unwrap_err().starts_with("expires_at: "), "{time}");
    }
}

#[test]
fn a_refresh_token_alone_is_an_expired_pair() {
    for rest in ["", r#","expires_at":1795200000"#, r#","access_token":null"#] {
        let grant = grant(&format!(r#"{{"tenant":"a","refresh_token":"r"{rest}}}"#));
        assert_eq!((grant.access.is_empty(), grant.expires_at), (true, Timestamp::from_secs(0)));
    }
}

#[test]
fn an_access_token_of_unknown_age_counts_as_expired() {
    assert_eq!(grant(r#"{"tenant":"a","access_token":"a","refresh_token":"r"}"#).expires_at, Timestamp::from_secs(0));
}

#[test]
fn a_line_may_bring_nothing() {
    let line =
        parse(r#"{"tenant":"a","flexslot_pat":null,"flexslot_refresh_token":null,"flexslot_expires_at":5}"#).unwrap();
    assert_eq!((line.pat, line.grant), (None, None));
}

#[test]
fn faults_name_the_field_and_never_the_value() {
    for (line, fault) in [
        ("", "the JSON object does not end"),
        (r#"{"tenant":"canary""#, "the JSON object does not end"),
        ("canary", "not JSON (column 1)"),
        (r#""canary""#, "not a JSON object"),
        (r#"{"tenant":"a"} {"canary":1}"#, "not JSON (column 16)"),
        (r#"{"pat":"canary"}"#, "tenant: missing"),
        (r#"{"tenant":5}"#, "tenant: not a string"),
        (r#"{"tenant":"a","pat":"flx_pat_canary x"}"#, "pat: holds a character that no token has"),
        (r#"{"tenant":"a","pat":"flx_pat_canary\n"}"#, "pat: holds a character that no token has"),
        (r#"{"tenant":"a","pat":""}"#, "pat: empty; write null for nothing"),
        (r#"{"tenant":"a","pat":["canary"]}"#, "pat: not a string"),
        (r#"{"tenant":"a","pat":"canary","flexslot_pat":"canary"}"#, "flexslot_pat: given twice"),
        (
            r#"{"tenant":"a","access_token":"canary"}"#,
            "refresh_token: missing: an access token alone cannot be kept fresh",
        ),
        (r#"{"tenant":"a","refresh_token":"canary","token_type":"mac"}"#, "token_type: neither Bearer nor DPoP"),
        (
            r#"{"tenant":"a","refresh_token":"r","dpop_jwk":{"d":"canary"}}"#,
            "dpop_jwk: not a key on P-256 (\"kty\": \"EC\", \"crv\": \"P-256\"), the only kind that is taken",
        ),
        (r#"{"tenant":"a","refresh_token":"r","dpop_jwk":"canary"}"#, "dpop_jwk: not a JWK; expected a JSON object"),
        (
            r#"{"tenant":"a","refresh_token":"canary","expires_in":3600}"#,
            "expires_in: unknown field; expires_at says when the access token ends, in RFC 3339 or Unix seconds",
        ),
        (r#"{"tenant":"a","refreshtoken":"canary"}"#, "refreshtoken: unknown field"),
        (r#"{"tenant":"a","flx_pat_canary":"canary"}"#, "(a name that is not shown): unknown field"),
    ] {
        assert_eq!(parse(line), Err(fault.to_owned()), "{line}");
    }
    assert!(parse(r#"{"tenant":"ca nary"}"#).unwrap_err().starts_with("tenant: character 3 is not allowed"));
    assert!(ImportLine::parse(b"{\"tenant\":\"\xff\"}").is_err());
}

#[test]
fn a_bound_grant_comes_with_its_key_or_has_to_be_refreshed_first() {
    let jwk = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0","d":"jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI"}"#;
    let line = |rest: &str| format!(r#"{{"tenant":"a","access_token":"t","refresh_token":"r"{rest}}}"#);
    for said in ["", r#","token_type":"DPoP""#] {
        let grant = grant(&line(&format!(r#","dpop_jwk":{jwk}{said}"#)));
        assert_eq!((grant.token_type, grant.key.is_some()), (TokenType::Dpop, true));
    }
    let keyless = grant(&line(r#","token_type":"dpop""#));
    assert_eq!((keyless.token_type, keyless.key), (TokenType::Dpop, None));
    let contradiction = parse(&line(&format!(r#","dpop_jwk":{jwk},"token_type":"Bearer""#)));
    assert_eq!(contradiction.unwrap_err(), "dpop_jwk: a key, and a token_type of tokens that are not bound to any");
}

#[test]
fn what_is_brought_for_a_tenant_need_not_name_it() {
    let of = |line: &str| {
        let line = ImportLine::of(&"acme".parse().unwrap(), Object::parse(line.as_bytes()).unwrap());
        line.map(|line| line.tenant.to_string()).map_err(|fault| fault.to_string())
    };
    for line in [r#"{"refresh_token":"r"}"#, r#"{"tenant":"acme","refresh_token":"r"}"#, r#"{"tenant":null}"#] {
        assert_eq!(of(line).as_deref(), Ok("acme"), "{line}");
    }
    assert_eq!(of(r#"{"tenant":"beta"}"#), Err("tenant: another one than the request names".to_owned()));
}

fn member() -> impl Strategy<Value = String> {
    let names = "tenant|pat|flexslot_pat|access_token|refresh_token|expires_at|scope|token_type|dpop_jwk|[a-z]{1,3}";
    let values = prop_oneof![Just("null".to_owned()), "\"[a-zA-Z0-9 ]{0,6}\"", "[0-9]{1,11}", Just("{}".to_owned())];
    (names, values).prop_map(|(name, value)| format!("\"{name}\":{value}"))
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = ImportLine::parse(&bytes);
    }

    #[test]
    fn a_line_that_is_taken_has_what_it_needs(members in proptest::collection::vec(member(), 0..6)) {
        if let Ok(line) = ImportLine::parse(format!("{{{}}}", members.join(",")).as_bytes()) {
            prop_assert!(line.grant.is_none_or(|grant| !grant.refresh.is_empty()
                && (!grant.access.is_empty() || grant.expires_at == Timestamp::from_secs(0))));
        }
    }
}
