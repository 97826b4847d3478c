//! One line of an import: bytes in, credentials or the first fault out.

#[cfg(test)]
mod tests;

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, error::Category};

use crate::model::{ScopeSet, Secret, TenantId, Timestamp, TokenType, prefix};

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
    /// Bearer, so far.
    pub token_type: TokenType,
}

/// Why a line cannot be imported. Names the field, never its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFault {
    /// Empty where the line as a whole is meant.
    field: String,
    what: String,
}

/// The members of an object in their order, repeated ones too.
struct Members(Vec<(String, Value)>);

/// Each field under its natural name; the names of Flexslot's migration guide beside it mean the same.
#[derive(Default)]
struct Fields {
    tenant: Option<Value>,
    pat: Option<Value>,
    access_token: Option<Value>,
    refresh_token: Option<Value>,
    expires_at: Option<Value>,
    scope: Option<Value>,
    client_id: Option<Value>,
    token_type: Option<Value>,
    dpop_jwk: Option<Value>,
}

/// Unix seconds of the year 10000: what is larger was meant as milliseconds.
const LATEST: i64 = 253_402_300_800;

// === impl ImportLine ===

impl ImportLine {
    /// Reads one line of JSON.
    pub fn parse(line: &[u8]) -> Result<Self, LineFault> {
        // serde_json's own messages repeat values; only what kind of mistake it was, and where, may be told.
        let Members(members) = serde_json::from_slice(line).map_err(|error| match error.classify() {
            Category::Data => LineFault::line("not a JSON object"),
            Category::Eof => LineFault::line("the JSON object does not end"),
            Category::Syntax | Category::Io => LineFault::line(format!("not JSON (column {})", error.column())),
        })?;
        let mut fields = Fields::default();
        for (name, value) in members {
            fields.put(&name, value)?;
        }
        fields.meaning()
    }
}

// === impl Members ===

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;

        impl<'de> Visitor<'de> for Walk {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(Walk)
    }
}

// === impl Fields ===

impl Fields {
    fn put(&mut self, name: &str, value: Value) -> Result<(), LineFault> {
        let field = match name {
            "tenant" => &mut self.tenant,
            "pat" | "flexslot_pat" => &mut self.pat,
            "access_token" | "flexslot_access_token" => &mut self.access_token,
            "refresh_token" | "flexslot_refresh_token" => &mut self.refresh_token,
            "expires_at" | "flexslot_expires_at" => &mut self.expires_at,
            "scope" => &mut self.scope,
            "client_id" => &mut self.client_id,
            "token_type" => &mut self.token_type,
            "dpop_jwk" => &mut self.dpop_jwk,
            _ => return Err(LineFault::field(&shown(name), "unknown field")),
        };
        if value.is_null() {
            return Ok(());
        }
        match field.replace(value) {
            None => Ok(()),
            Some(_) => Err(LineFault::field(name, "given twice")),
        }
    }

    fn meaning(self) -> Result<ImportLine, LineFault> {
        let tenant = text("tenant", self.tenant)?.ok_or_else(|| LineFault::field("tenant", "missing"))?;
        let tenant = tenant.parse::<TenantId>().map_err(|invalid| LineFault::field("tenant", invalid))?;
        let pat = secret("pat", self.pat, Secret::is_header_safe)?;
        let access = secret("access_token", self.access_token, Secret::is_header_safe)?;
        let refresh = secret("refresh_token", self.refresh_token, is_printable)?;
        let expires_at = self.expires_at.map(|value| time("expires_at", &value)).transpose()?;
        let scopes = text("scope", self.scope)?;
        let client_id = text("client_id", self.client_id)?;
        let token_type = token_type(text("token_type", self.token_type)?)?;
        if self.dpop_jwk.is_some() {
            return Err(LineFault::field("dpop_jwk", BOUND));
        }
        let grant = match (access, refresh) {
            (None, None) => None,
            (Some(_), None) => {
                return Err(LineFault::field("refresh_token", "missing: an access token alone cannot be kept fresh"));
            }
            (access, Some(refresh)) => Some(ImportGrant {
                expires_at: expires_at.filter(|_| access.is_some()).unwrap_or(Timestamp::from_secs(0)),
                access: access.unwrap_or_else(|| Secret::new("")),
                refresh,
                scopes: scopes.map_or_else(ScopeSet::unknown, |text| scope_set(&text)),
                client_id,
                token_type,
            }),
        };
        Ok(ImportLine { tenant, pat, grant })
    }
}

const BOUND: &str = "bound grants are not supported yet";

fn text(field: &'static str, value: Option<Value>) -> Result<Option<String>, LineFault> {
    match value {
        None => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Err(LineFault::field(field, "empty; write null for nothing")),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(LineFault::field(field, "not a string")),
    }
}

fn secret(field: &'static str, value: Option<Value>, is_fit: fn(&Secret) -> bool) -> Result<Option<Secret>, LineFault> {
    let secret = text(field, value)?.map(Secret::new);
    match &secret {
        Some(secret) if !is_fit(secret) => Err(LineFault::field(field, "holds a character that no token has")),
        _ => Ok(secret),
    }
}

/// VSCHAR (RFC 6749 appendix A.17).
fn is_printable(token: &Secret) -> bool {
    token.expose().bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ')
}

fn token_type(name: Option<String>) -> Result<TokenType, LineFault> {
    match name.map_or(Some(TokenType::Bearer), |name| TokenType::from_name(&name)) {
        Some(TokenType::Bearer) => Ok(TokenType::Bearer),
        Some(TokenType::Dpop) => Err(LineFault::field("token_type", BOUND)),
        None => Err(LineFault::field("token_type", "neither Bearer nor DPoP")),
    }
}

/// RFC 3339, or Unix seconds as a number or in a string.
fn time(field: &'static str, value: &Value) -> Result<Timestamp, LineFault> {
    let secs = match value {
        Value::Number(number) => number.as_i64().or_else(|| number.as_f64().map(whole)),
        Value::String(text) => match text.parse::<i64>() {
            Ok(secs) => Some(secs),
            Err(_) => text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_second),
        },
        _ => None,
    };
    match secs {
        None => Err(LineFault::field(field, "neither an RFC 3339 time nor Unix seconds")),
        Some(secs) if (0..LATEST).contains(&secs) => Ok(Timestamp::from_secs(secs)),
        Some(_) => Err(LineFault::field(field, "no time of this age; expected Unix seconds, not milliseconds")),
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

/// A field's name, unless it looks like a value in the wrong place.
fn shown(name: &str) -> String {
    let is_name = name.len() <= 32 && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    if is_name && !name.starts_with(prefix::ANY) { name.to_owned() } else { "(a name that is not shown)".to_owned() }
}

// === impl LineFault ===

impl LineFault {
    pub(super) fn line(what: impl Into<String>) -> Self {
        Self { field: String::new(), what: what.into() }
    }

    pub(super) fn field(field: &str, what: impl fmt::Display) -> Self {
        Self { field: field.to_owned(), what: what.to_string() }
    }
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.field.as_str() {
            "" => f.write_str(&self.what),
            field => write!(f, "{field}: {}", self.what),
        }
    }
}

impl std::error::Error for LineFault {}
