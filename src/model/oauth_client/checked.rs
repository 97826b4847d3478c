//! A wish for a client, and whether Flexslot would take it.

use super::{ApplicationName, ClientFault, ClientField, ClientType, ClientUrl, ClientUrls, NewClient};
use crate::model::{RedirectUri, scope::CATALOGUE};

/// A client as somebody asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientWish {
    pub name: String,
    pub redirect_uris: Vec<String>,
    pub scopes: Vec<String>,
    pub client_type: ClientType,
    pub urls: ClientUrls<Option<String>>,
}

/// What is wrong so far.
#[derive(Default)]
struct Faults(Vec<ClientFault>);

// === impl NewClient ===

impl NewClient {
    /// What `wish` asks for, if every rule holds; else all that is wrong with it.
    pub fn check(wish: ClientWish) -> Result<Self, Vec<ClientFault>> {
        let ClientWish { name, redirect_uris, scopes, client_type, urls } = wish;
        let mut faults = Faults::default();
        let name = faults.note(ClientField::Name, ApplicationName::check(name));
        let redirect_uris = faults.redirect_uris(redirect_uris);
        let scopes = faults.scopes(scopes);
        let mut url = |field, text: Option<String>| text.and_then(|text| faults.note(field, ClientUrl::check(text)));
        let urls = ClientUrls {
            application: url(ClientField::ApplicationUrl, urls.application),
            logo: url(ClientField::LogoUrl, urls.logo),
            privacy_policy: url(ClientField::PrivacyUrl, urls.privacy_policy),
            tos: url(ClientField::TosUrl, urls.tos),
        };
        match name {
            Some(name) if faults.0.is_empty() => Ok(Self { name, redirect_uris, scopes, client_type, urls }),
            _ => Err(faults.0),
        }
    }
}

// === impl Faults ===

impl Faults {
    fn add(&mut self, field: ClientField, what: impl Into<String>) {
        self.0.push(ClientFault { field, what: what.into() });
    }

    fn note<T>(&mut self, field: ClientField, checked: Result<T, String>) -> Option<T> {
        checked.map_err(|what| self.add(field, what)).ok()
    }

    /// At least one, each once, each as Flexslot registers them.
    fn redirect_uris(&mut self, wished: Vec<String>) -> Vec<RedirectUri> {
        if wished.is_empty() {
            self.add(ClientField::RedirectUris, "is missing; without one no user can be asked");
        }
        let mut uris: Vec<RedirectUri> = Vec::new();
        for text in wished {
            match text.parse::<RedirectUri>() {
                // Byte for byte, as Flexslot compares them.
                Ok(uri) if uris.contains(&uri) => self.add(ClientField::RedirectUri(text), "is given twice"),
                Ok(uri) => uris.push(uri),
                Err(invalid) => self.add(ClientField::RedirectUri(text), invalid.to_string()),
            }
        }
        uris
    }

    /// At least one of the catalogue, each once.
    fn scopes(&mut self, wished: Vec<String>) -> Vec<&'static str> {
        if wished.is_empty() {
            self.add(ClientField::Scopes, "is missing; the client could ask for nothing");
        }
        let mut scopes = Vec::new();
        for text in wished {
            match CATALOGUE.iter().map(|(name, _)| *name).find(|name| *name == text) {
                Some(scope) if scopes.contains(&scope) => self.add(ClientField::Scope(text), "is given twice"),
                Some(scope) => scopes.push(scope),
                None => {
                    let known = CATALOGUE.map(|(name, _)| name).join(", ");
                    self.add(ClientField::Scope(text), format!("no scope of Flexslot; these are: {known}"));
                }
            }
        }
        scopes
    }
}
