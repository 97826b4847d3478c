//! `[[tenants]]`: what the file knows of a tenant. Others live in the store alone.

use std::collections::HashMap;

use crate::{
    config::{
        fault::{Place, Wrong},
        for_store::FilePat,
        listen::tenant_name,
        meaning::Resolver,
        reader::{Table, Value},
        report::{At, Setting, Spot},
        secret::{ConfiguredSecret, SecretSource},
    },
    model::{AllowRule, CredentialKind, PatFallback, TenantId, allow::InvalidRule},
};

/// One of `[[tenants]]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    pub name: TenantId,
    /// Wins over the store's.
    pub pat: Option<ConfiguredSecret>,
    /// Which kinds may be used, best first; at least one, none twice.
    pub credentials: Vec<CredentialKind>,
    pub pat_fallback: PatFallback,
    /// `None`: everything that the proxy forwards at all.
    pub allow: Option<Vec<AllowRule>>,
}

/// One of `[[tenants]]` as written.
#[derive(Debug, Default)]
pub(in crate::config) struct Written {
    name: Setting<TenantId>,
    pat: Setting<SecretSource>,
    credentials: Setting<Vec<CredentialKind>>,
    pat_fallback: Setting<PatFallback>,
    allow: Setting<Vec<AllowRule>>,
}

const KINDS: [(&str, CredentialKind); 2] = [("oauth", CredentialKind::OAuth), ("pat", CredentialKind::Pat)];
const FALLBACKS: [(&str, PatFallback); 3] =
    [("always", PatFallback::Always), ("unless_revoked", PatFallback::UnlessRevoked), ("never", PatFallback::Never)];

// === impl Written ===

impl Written {
    pub(in crate::config) fn read(mut table: Table<'_>) -> Self {
        let written = Self {
            name: table.key("name", tenant_name),
            pat: table.key("pat", SecretSource::read_written),
            credentials: table.key("credentials", credentials),
            pat_fallback: table.key("pat_fallback", |value| value.word(&FALLBACKS)),
            allow: table.key("allow", |value| {
                value.list("rules such as \"GET /decks/**\"", |rule| {
                    rule.text("a rule such as \"GET /decks/**\"", allow_rule)
                })
            }),
        };
        if matches!(written.name, Setting::Absent) {
            table.missing("name", "write name = \"acme\"");
        }
        table.finish();
        written
    }

    /// A tenant that the file does not name.
    pub(in crate::config) fn with_pat(name: At<TenantId>, pat: At<SecretSource>) -> Self {
        Self { name: Setting::Given(name), pat: Setting::Given(pat), ..Self::default() }
    }

    /// Its name, where it has one, and whether a PAT comes with it.
    pub(in crate::config) fn named(&self) -> Option<(&TenantId, FilePat)> {
        let pat = if matches!(self.pat, Setting::Absent) { FilePat::Absent } else { FilePat::Set };
        self.name.given().map(|name| (&name.value, pat))
    }

    /// Its name and where its PAT is, where it has both.
    pub(in crate::config) fn pat_source(&self, resolver: &Resolver<'_>) -> Option<(TenantId, SecretSource)> {
        let (name, pat) = (self.name.given()?, self.pat.given()?);
        Some((name.value.clone(), resolver.source(pat.value.clone(), pat.spot.place)))
    }

    /// `None` where it has no name; that is a fault by now.
    fn meaning(self, resolver: &Resolver<'_>) -> Option<Tenant> {
        let pat = resolver.pat(self.pat);
        Some(Tenant {
            name: self.name.into_given()?.value,
            pat,
            credentials: self.credentials.or(vec![CredentialKind::OAuth, CredentialKind::Pat]),
            pat_fallback: self.pat_fallback.or(PatFallback::default()),
            allow: self.allow.into_given().map(|at| at.value),
        })
    }
}

/// All of `[[tenants]]`; a name that comes twice is a fault.
pub(in crate::config) fn meaning(written: Vec<Written>, resolver: &Resolver<'_>) -> Vec<Tenant> {
    let mut seen: HashMap<TenantId, Spot> = HashMap::with_capacity(written.len());
    for name in written.iter().filter_map(|tenant| tenant.name.given()) {
        match seen.get(&name.value) {
            Some(first) => {
                let Place::Line { line, .. } = first.place else { continue };
                resolver.fault(&name.spot, Wrong::new(format!("the same tenant as in line {line}")));
            }
            None => {
                seen.insert(name.value.clone(), name.spot.clone());
            }
        }
    }
    written.into_iter().filter_map(|tenant| tenant.meaning(resolver)).collect()
}

fn credentials(value: &Value<'_>) -> Option<Vec<CredentialKind>> {
    let kinds = value.list("\"oauth\" and \"pat\"", |kind| kind.word(&KINDS))?;
    let twice = kinds.iter().enumerate().any(|(at, kind)| kinds[..at].contains(kind));
    if kinds.is_empty() || twice {
        value.fault(Wrong::new("expected \"oauth\", \"pat\" or both, each once"));
        return None;
    }
    Some(kinds)
}

fn allow_rule(text: &str) -> Result<AllowRule, Wrong> {
    text.parse().map_err(|invalid: InvalidRule| {
        Wrong::new(invalid.to_string())
            .hint("write a method or *, and a path below /api/public/v1, such as \"GET /decks/**\"")
    })
}
