use super::*;
use crate::model::scope::CATALOGUE;

fn wish() -> ClientWish {
    ClientWish {
        name: "My Integration".into(),
        redirect_uris: vec!["https://app.example.com/oauth/callback".into()],
        scopes: vec!["decks:read".into()],
        client_type: ClientType::Confidential,
        urls: ClientUrls::default(),
    }
}

/// The fields that are named, in their order.
fn faults(wish: ClientWish) -> Vec<ClientField> {
    NewClient::check(wish).err().unwrap_or_default().into_iter().map(|fault| fault.field).collect()
}

#[test]
fn a_name_has_1_to_255_characters() {
    for (name, good) in
        [("x".to_owned(), true), ("é".repeat(255), true), (String::new(), false), ("é".repeat(256), false)]
    {
        let found = faults(ClientWish { name: name.clone(), ..wish() });
        assert_eq!(found.is_empty(), good, "{} characters", name.chars().count());
    }
}

#[test]
fn redirect_uris_are_https_or_loopback_and_byte_for_byte() {
    let long = |length: usize| format!("https://a.example/{}", "x".repeat(length - 18));
    for (uri, good) in [
        ("https://app.example.com/cb?x=1".to_owned(), true),
        ("http://localhost:3540/cb".to_owned(), true),
        ("http://127.0.0.1:1/cb".to_owned(), true),
        ("http://[::1]/cb".to_owned(), true),
        (long(512), true),
        (long(513), false),
        ("http://app.example.com/cb".to_owned(), false),
        ("https://*.example.com/cb".to_owned(), false),
        ("https://app.example.com/cb#x".to_owned(), false),
        ("com.example.app://cb".to_owned(), false),
        ("/cb".to_owned(), false),
        (String::new(), false),
    ] {
        let found = faults(ClientWish { redirect_uris: vec![uri.clone()], ..wish() });
        assert_eq!(found.is_empty(), good, "{uri}: {found:?}");
    }
    let uris = |uris: &[&str]| uris.iter().map(|uri| (*uri).to_owned()).collect::<Vec<_>>();
    assert_eq!(faults(ClientWish { redirect_uris: vec![], ..wish() }), [ClientField::RedirectUris]);
    let twice = uris(&["https://a.example/cb", "https://a.example/cb"]);
    assert_eq!(
        faults(ClientWish { redirect_uris: twice.clone(), ..wish() }),
        [ClientField::RedirectUri(twice[0].clone())]
    );
    // Another URI for Flexslot, and so for us.
    let both = uris(&["https://a.example/cb", "https://a.example/cb/"]);
    assert_eq!(faults(ClientWish { redirect_uris: both, ..wish() }), []);
}

#[test]
fn scopes_are_of_the_catalogue_and_each_is_given_once() {
    let all = CATALOGUE.map(|(name, _)| name.to_owned()).to_vec();
    assert_eq!(all.len(), 8);
    let checked = NewClient::check(ClientWish { scopes: all.clone(), ..wish() }).unwrap();
    assert_eq!(checked.scopes, all);
    assert_eq!(faults(ClientWish { scopes: vec![], ..wish() }), [ClientField::Scopes]);
    for bad in ["cards:write", "Decks:read", "offline_access", ""] {
        let found = faults(ClientWish { scopes: vec!["decks:read".into(), bad.into()], ..wish() });
        assert_eq!(found, [ClientField::Scope(bad.into())]);
    }
    let twice = vec!["decks:read".into(), "decks:read".into()];
    assert_eq!(faults(ClientWish { scopes: twice, ..wish() }), [ClientField::Scope("decks:read".into())]);
}

#[test]
fn pages_are_absolute_urls_of_at_most_512_characters() {
    let with = |set: fn(&mut ClientUrls<Option<String>>, String), url: &str| {
        let mut wish = wish();
        set(&mut wish.urls, url.to_owned());
        faults(wish)
    };
    type Set = fn(&mut ClientUrls<Option<String>>, String);
    let fields: [(Set, ClientField); 4] = [
        (|urls, url| urls.application = Some(url), ClientField::ApplicationUrl),
        (|urls, url| urls.logo = Some(url), ClientField::LogoUrl),
        (|urls, url| urls.privacy_policy = Some(url), ClientField::PrivacyUrl),
        (|urls, url| urls.tos = Some(url), ClientField::TosUrl),
    ];
    let long = |length: usize| format!("https://a.example/{}", "é".repeat(length - 18));
    for (set, field) in fields {
        for good in ["https://app.example.com", "http://app.example.com/about?x", &long(512)] {
            assert_eq!(with(set, good), [], "{good}");
        }
        for bad in ["app.example.com", "/about", "ftp://app.example.com", "", &long(513)] {
            assert_eq!(with(set, bad), std::slice::from_ref(&field), "{bad}");
        }
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let wish = ClientWish {
        name: String::new(),
        redirect_uris: vec!["http://app.example.com".into(), "https://a.example/#x".into()],
        scopes: vec!["decks:admin".into()],
        client_type: ClientType::Public,
        urls: ClientUrls { tos: Some("x".into()), ..ClientUrls::default() },
    };
    assert_eq!(
        faults(wish),
        [
            ClientField::Name,
            ClientField::RedirectUri("http://app.example.com".into()),
            ClientField::RedirectUri("https://a.example/#x".into()),
            ClientField::Scope("decks:admin".into()),
            ClientField::TosUrl,
        ]
    );
}

#[test]
fn types_and_statuses_have_flexslots_words() {
    for kind in [ClientType::Confidential, ClientType::Public] {
        assert_eq!(ClientType::from_name(kind.as_str()), Some(kind));
    }
    for status in [ClientStatus::Active, ClientStatus::Suspended, ClientStatus::Revoked] {
        assert_eq!(ClientStatus::from_name(status.as_str()), Some(status));
    }
    assert_eq!((ClientType::from_name("Public"), ClientStatus::from_name("gone")), (None, None));
    assert!(ClientStatus::Suspended.counts() && !ClientStatus::Revoked.counts());
}
