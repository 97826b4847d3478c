//! What a command goes by that only asks a running sidecar how it is.

use super::{
    Admin, ConfigSource, Environment, Fault, Faults, Overrides, Place, Resolver, ServiceSecrets, Written, read_heeding,
};

// === impl Admin ===

impl Admin {
    /// Reads `source` as [`super::Config::load`] does, but means `[admin]` alone: no secret is read, and the store may be
    /// out of reach. A probe's container need not have either. Nor do faults elsewhere in the file matter: the sidecar that
    /// is asked goes on with what it read before, and must not be started again for them.
    pub fn load(source: &ConfigSource, overrides: &Overrides, environment: &dyn Environment) -> Result<Self, Faults> {
        let meaning = |written: Written, _, resolver: &Resolver<'_>| written.admin.meaning(resolver);
        read_heeding(is_about_the_listener, source, overrides, environment, ServiceSecrets::None, meaning)
    }
}

fn is_about_the_listener(fault: &Fault) -> bool {
    let is_admins = fault.key.strip_prefix("admin").is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    is_admins || matches!(fault.place, Place::Override(_))
}
