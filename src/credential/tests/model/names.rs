//! How the model names its tokens: `line.number` for a refresh token, `at.line.number` for the access token beside it.

use crate::{
    credential::Picked,
    model::{ScopeSet, Secret, TenantId, Timestamp, TokenSet, TokenType},
};

pub(super) fn pair(line: &str, number: u64, expires_at: Timestamp) -> TokenSet {
    TokenSet {
        access: Secret::new(format!("at.{line}.{number}")),
        refresh: Secret::new(format!("{line}.{number}")),
        token_type: TokenType::Bearer,
        scopes: ScopeSet::new("decks:read"),
        expires_at,
        answered_at: None,
        key: None,
    }
}

pub(super) fn pair_hash(refresh: &Secret) -> [u8; 32] {
    TokenSet { refresh: refresh.clone(), ..pair("", 0, Timestamp::from_secs(0)) }.refresh_hash()
}

/// Line and number of a refresh token.
pub(super) fn name_of(refresh: &Secret) -> (String, u64) {
    let (name, number) = refresh.expose().rsplit_once('.').expect("a token of the model");
    (name.to_owned(), number.parse().expect("a number"))
}

/// The tenant that was connected as `line`.
pub(super) fn tenant_of(line: &str) -> TenantId {
    let (tenant, _) = line.rsplit_once('-').expect("a line of the model");
    tenant.parse().expect("a tenant")
}

/// Line and number of an access token; `None` for a PAT.
pub(super) fn access_of(picked: &Picked) -> Option<(String, u64)> {
    let value = picked.authorization.to_str().ok()?.strip_prefix("Bearer at.")?;
    let (name, number) = value.rsplit_once('.')?;
    Some((name.to_owned(), number.parse().ok()?))
}
