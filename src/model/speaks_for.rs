//! Whom a caller may act for.

use std::collections::HashSet;

use super::TenantId;

/// The tenants that a caller may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpeaksFor {
    /// Every one that there is and will be.
    Everybody,
    These(HashSet<TenantId>),
}

// === impl SpeaksFor ===

impl SpeaksFor {
    /// Whether `tenant` is among them.
    pub fn includes(&self, tenant: &TenantId) -> bool {
        match self {
            Self::Everybody => true,
            Self::These(tenants) => tenants.contains(tenant),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::SpeaksFor;

    #[test]
    fn a_caller_speaks_for_its_tenants_alone() {
        let includes = |speaks: &SpeaksFor, tenant: &str| speaks.includes(&tenant.parse().unwrap());
        let two = SpeaksFor::These(["acme", "beta"].map(|name| name.parse().unwrap()).into());
        assert!(
            includes(&two, "acme") && includes(&two, "beta") && !includes(&two, "gamma") && !includes(&two, "acme2")
        );
        assert!(includes(&SpeaksFor::Everybody, "gamma"));
    }
}
