//! What a tenant's personal access token is worth.

use std::time::Duration;

use super::{
    Probes,
    clients::Partners,
    subjects::{Pat, PatFrom, Subject},
};
use crate::{
    app::{StartFailure, finding::Finding},
    flexslot::clients::{ManagementError, PatMetadata, Refused, WhyRefused},
    model::{TenantId, Timestamp},
};

/// A PAT that has less time left than this is told of.
const EXPIRES_SOON: Duration = Duration::from_secs(14 * 24 * 3600);

// === impl Probes ===

impl Probes {
    /// What Flexslot says of the tenant's PAT, where it has one. One that Flexslot takes may be a partner's.
    pub(super) async fn pat(&self, subject: &Subject, partners: &mut Partners) -> Option<Finding> {
        let (tenant, pat) = (&subject.tenant, subject.pat.as_ref()?);
        if let PatFrom::Store { origin } = &pat.from
            && *origin != self.config.upstream.origin
        {
            let what = format!("{tenant}: it belongs to {origin}, and is not sent to {}", self.config.upstream.origin);
            return Some(Finding::Bad(StartFailure::new(what).hint(renewal(tenant, &pat.from))));
        }
        Some(match self.management.pat_metadata(&pat.secret).await {
            Ok(metadata) => {
                partners.may_be(tenant, &pat.secret);
                judged(tenant, pat, &metadata, self.clock.now())
            }
            Err(error @ ManagementError::Refused(Refused { why: WhyRefused::Pat, .. })) => {
                Finding::Bad(StartFailure::new(format!("{tenant}: {error}")).hint(renewal(tenant, &pat.from)))
            }
            Err(error) => {
                if matches!(error, ManagementError::NotSent(_) | ManagementError::Unknown(_)) {
                    self.unanswered();
                }
                let failure = StartFailure::new(format!("{tenant}: {error}"));
                Finding::Bad(match error {
                    ManagementError::Refused(Refused { why: WhyRefused::Busy { .. }, .. }) => {
                        failure.hint("try again in a minute")
                    }
                    _ => failure,
                })
            }
        })
    }
}

pub(super) fn judged(tenant: &TenantId, pat: &Pat, metadata: &PatMetadata, now: Timestamp) -> Finding {
    let renewal = |what: String| StartFailure::new(format!("{tenant}: {what}")).hint(renewal(tenant, &pat.from));
    if let Some(at) = metadata.revoked_at {
        return Finding::Bad(renewal(format!("it was revoked at {at}")));
    }
    match metadata.expires_at {
        Some(at) if at <= now => Finding::Bad(renewal(format!("it expired at {at}"))),
        Some(at) if at.left(now) < EXPIRES_SOON => {
            let days = at.left(now).as_secs() / (24 * 3600);
            Finding::Doubtful(renewal(format!("it expires at {at}, in {days} days")))
        }
        expires_at => {
            let name = metadata.name.as_ref().map(|name| format!(" {name:?}")).unwrap_or_default();
            let until = expires_at.map_or_else(|| "without an end".to_owned(), |at| format!("until {at}"));
            let scopes = match metadata.scopes.is_empty() {
                true => String::new(),
                false => format!(", for {}", metadata.scopes.join(" ")),
            };
            Finding::Good(format!("{tenant}: Flexslot takes it{name}, {until}{scopes}"))
        }
    }
}

/// How the tenant gets another.
fn renewal(tenant: &TenantId, from: &PatFrom) -> String {
    match from {
        PatFrom::File => format!("make a new one at Flexslot, and put it where proxy.toml has the pat of {tenant}"),
        PatFrom::Store { .. } => {
            format!("make a new one at Flexslot, and store it: flexslot-proxy tenant set-pat {tenant}")
        }
    }
}
