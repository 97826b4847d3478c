//! Credentials that another program held, as it writes them down: bytes in, credentials or the first fault out.

#[cfg(test)]
mod tests;

use serde_json::Value;

use super::{
    ProofKey, ScopeSet, Secret, TenantId, Timestamp, TokenSet, TokenType,
    json::{Fault, Object, UNKNOWN_FIELD, secret, text},
    proof_key::InvalidProofKey,
};

/// A tenant with the credentials that the line brings; a line may bring neither, as an export of all users does for
/// some.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportLine {
    pub tenant: TenantId,
    pub pat: Option<Secret>,
    pub grant: Option<ImportGrant>,
}

/// A pair of tokens as another program held it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportGrant {
    /// Empty where the line has none. `expires_at` then lies in the past, so that it is never sent.
    pub access: Secret,
    pub refresh: Secret,
    /// The epoch where the line does not say: a token whose end nobody knows counts as expired, and is refreshed at
    /// first need.
    pub expires_at: Timestamp,
    pub scopes: ScopeSet,
    /// `None`: the configured client.
    pub client_id: Option<String>,
    pub token_type: TokenType,
    /// What the tokens are bound to, where they are.
    pub key: Option<ProofKey>,
}

/// Unix seconds of the year 10000: what is larger was meant as milliseconds.
const LATEST: i64 = 253_402_300_800;

/// The fields of a line by their natural names; the names of Flexslot's migration guide beside them mean the same.
const FIELDS: [&[&str]; 9] = [
    &["tenant"],
    &["pat", "flexslot_pat"],
    &["access_token", "flexslot_access_token"],
    &["refresh_token", "flexslot_refresh_token"],
    &["expires_at", "flexslot_expires_at"],
    &["scope"],
    &["client_id"],
    &["token_type"],
    &["dpop_jwk"],
];

// === impl ImportLine ===

impl ImportLine {
    /// Reads one line of JSON.
    pub fn parse(line: &[u8]) -> Result<Self, Fault> {
        Self::read(Object::parse(line)?, None)
    }

    /// Reads what is brought for `tenant`, whom it need not name.
    pub fn of(tenant: &TenantId, line: Object) -> Result<Self, Fault> {
        match Self::read(line, Some(tenant))? {
            line if line.tenant == *tenant => Ok(line),
            _ => Err(Fault::field("tenant", "another one than the request names")),
        }
    }

    fn read(line: Object, unnamed: Option<&TenantId>) -> Result<Self, Fault> {
        let [tenant, pat, access, refresh, expires_at, scope, client_id, token_type, dpop_jwk] =
            line.fields(FIELDS).map_err(explained)?;
        let tenant = match (text("tenant", tenant)?, unnamed) {
            (Some(name), _) => name.parse().map_err(|invalid| Fault::field("tenant", invalid))?,
            (None, Some(unnamed)) => unnamed.clone(),
            (None, None) => return Err(Fault::missing("tenant")),
        };
        let pat = secret("pat", pat, Secret::is_header_safe)?;
        let access = secret("access_token", access, Secret::is_header_safe)?;
        let refresh = secret("refresh_token", refresh, is_printable)?;
        let expires_at = expires_at.map(|value| time("expires_at", &value)).transpose()?;
        let scopes = text("scope", scope)?;
        let client_id = text("client_id", client_id)?;
        let key = dpop_jwk.map(proof_key).transpose()?;
        let token_type = token_type_of(text("token_type", token_type)?, key.as_ref())?;
        let grant = match (access, refresh) {
            (None, None) => None,
            (Some(_), None) => {
                return Err(Fault::field("refresh_token", "missing: an access token alone cannot be kept fresh"));
            }
            (access, Some(refresh)) => Some(ImportGrant {
                expires_at: expires_at.filter(|_| access.is_some()).unwrap_or(Timestamp::from_secs(0)),
                access: access.unwrap_or_else(|| Secret::new("")),
                refresh,
                scopes: scopes.map_or_else(ScopeSet::unknown, |text| scope_set(&text)),
                client_id,
                token_type,
                key,
            }),
        };
        Ok(Self { tenant, pat, grant })
    }
}

// === impl ImportGrant ===

impl ImportGrant {
    /// The pair itself.
    pub fn into_tokens(self) -> TokenSet {
        TokenSet {
            access: self.access,
            refresh: self.refresh,
            token_type: self.token_type,
            scopes: self.scopes,
            expires_at: self.expires_at,
            answered_at: None,
            key: self.key,
        }
    }
}

/// Says what to write for a member of Flexslot's token answer that means nothing once it lies around.
fn explained(fault: Fault) -> Fault {
    if fault == Fault::field("expires_in", UNKNOWN_FIELD) {
        return Fault::field(
            "expires_in",
            "unknown field; expires_at says when the access token ends, in RFC 3339 or Unix seconds",
        );
    }
    fault
}

/// VSCHAR (RFC 6749 appendix A.17).
fn is_printable(token: &Secret) -> bool {
    token.expose().bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

/// Bearer where the line does not say, and brings no key.
fn token_type_of(name: Option<String>, key: Option<&ProofKey>) -> Result<TokenType, Fault> {
    let unsaid = if key.is_some() { TokenType::Dpop } else { TokenType::Bearer };
    let token_type = name.map_or(Some(unsaid), |name| TokenType::from_name(&name));
    match (token_type, key) {
        (None, _) => Err(Fault::field("token_type", "neither Bearer nor DPoP")),
        (Some(TokenType::Bearer), Some(_)) => {
            Err(Fault::field("dpop_jwk", "a key, and a token_type of tokens that are not bound to any"))
        }
        (Some(token_type), _) => Ok(token_type),
    }
}

/// The private key that tokens are bound to, as JWK.
fn proof_key(value: Value) -> Result<ProofKey, Fault> {
    let Value::Object(members) = value else { return Err(Fault::field("dpop_jwk", InvalidProofKey::NoObject)) };
    ProofKey::from_members(members).map_err(|invalid| Fault::field("dpop_jwk", invalid))
}

/// RFC 3339, or Unix seconds as a number or in a string.
fn time(field: &'static str, value: &Value) -> Result<Timestamp, Fault> {
    let secs = match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(whole)),
        Value::String(text) => match text.parse::<i64>() {
            Ok(secs) => Some(secs),
            Err(_) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second),
        },
        _ => None,
    };
    match secs {
        None => Err(Fault::field(field, "neither an RFC 3339 time nor Unix seconds")),
        Some(secs) if (0..LATEST).contains(&secs) => Ok(Timestamp::from_secs(secs)),
        Some(_) => Err(Fault::field(field, "no time of this age; expected Unix seconds, not milliseconds")),
    }
}

/// Seconds with a fraction, rounded down; what is beyond all times stays so.
#[allow(clippy::cast_possible_truncation, reason = "a cast from float saturates")]
fn whole(secs: f64) -> i64 {
    secs.floor() as i64
}

fn scope_set(text: &str) -> ScopeSet {
    match text.split_whitespace().collect::<Vec<_>>().join(" ") {
        text if text.is_empty() => ScopeSet::unknown(),
        text => ScopeSet::new(&text),
    }
}
