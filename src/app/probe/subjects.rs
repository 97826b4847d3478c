//! Whom to ask about.

use std::collections::BTreeMap;

use super::Probes;
use crate::{
    app::{StartFailure, finding::Finding},
    model::{Origin, Secret, TenantId},
    store::{TenantRecord, backend::Names},
};

/// A tenant with all that is known of it.
pub(super) struct Subject {
    pub(super) tenant: TenantId,
    /// That of the file, or else of the store.
    pub(super) pat: Option<Pat>,
    pub(super) record: Option<TenantRecord>,
}

pub(super) struct Pat {
    pub(super) secret: Secret,
    pub(super) from: PatFrom,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PatFrom {
    File,
    Store { origin: Origin },
}

/// Those who are asked about, and what there is to say of others.
#[derive(Default)]
pub(super) struct Subjects {
    pub(super) subjects: Vec<Subject>,
    pub(super) findings: Vec<Finding>,
}

/// Tenants that are asked about where nobody has named any: for a few it takes a moment, and for a million a day.
const MOST_TENANTS: usize = 100;

// === impl Probes ===

impl Probes {
    /// Those who are named; else those of the file and the first of the store.
    pub(super) async fn subjects(&self, named: &[TenantId]) -> Subjects {
        let of_file = self.config.tenants.iter().map(|tenant| (&tenant.name, tenant.pat.as_ref()));
        let of_file: BTreeMap<_, _> =
            of_file.map(|(name, pat)| (name, pat.map(|configured| &configured.secret))).collect();
        let mut found = Subjects::default();
        let mut tenants = named.to_vec();
        if named.is_empty() {
            tenants = match self.first_of_store().await {
                Ok(tenants) => tenants,
                Err(failure) => {
                    found.findings.push(Finding::Bad(failure));
                    return found;
                }
            };
            if tenants.len() > MOST_TENANTS {
                tenants.truncate(MOST_TENANTS);
                let what = format!("nobody was asked about more than the first {MOST_TENANTS} tenants of the store");
                let failure = StartFailure::new(what).hint("check --online --tenant TENANT asks about that one");
                found.findings.push(Finding::Doubtful(failure));
            }
            tenants.extend(of_file.keys().map(|&tenant| tenant.clone()));
        }
        tenants.sort();
        tenants.dedup();
        for tenant in tenants {
            match self.subject(&tenant, of_file.get(&tenant)).await {
                Ok(subject) => found.subjects.push(subject),
                Err(failure) => found.findings.push(Finding::Bad(failure)),
            }
        }
        found
    }

    /// One more than are asked about, where there are so many.
    async fn first_of_store(&self) -> Result<Vec<TenantId>, StartFailure> {
        let Some(store) = &self.store else { return Ok(Vec::new()) };
        let page = store.list(Names::after(None), MOST_TENANTS + 1, None).await;
        let page = page.map_err(|error| StartFailure::store(&error))?;
        Ok(page.tenants.into_iter().map(|summary| summary.tenant).collect())
    }

    /// `of_file` is what the file says of the tenant, where it names it.
    async fn subject(&self, tenant: &TenantId, of_file: Option<&Option<&Secret>>) -> Result<Subject, StartFailure> {
        let record = match &self.store {
            Some(store) => Some(store.load(tenant).await.map_err(|error| StartFailure::store(&error))?),
            None => None,
        };
        if of_file.is_none() && record.as_ref().is_none_or(TenantRecord::is_absent) {
            let failure = StartFailure::new(format!("nobody knows a tenant {tenant}"));
            return Err(failure.hint("flexslot-proxy status shows who is there"));
        }
        let of_store = record.as_ref().and_then(|record| record.pat.clone());
        let pat = match (of_file.copied().flatten(), of_store) {
            (Some(secret), _) => Some(Pat { secret: secret.clone(), from: PatFrom::File }),
            (None, Some(kept)) => Some(Pat { secret: kept.pat, from: PatFrom::Store { origin: kept.origin } }),
            (None, None) => None,
        };
        Ok(Subject { tenant: tenant.clone(), pat, record })
    }
}
