//! What a command goes by that only asks a running sidecar how it is.

use super::{Admin, ConfigSource, Environment, Faults, Overrides, ServiceSecrets, read};

// === impl Admin ===

impl Admin {
    /// Reads `source` as [`super::Config::load`] does, but means `[admin]` alone: no secret is read, and the store may be
    /// out of reach. A probe's container need not have either.
    pub fn load(source: &ConfigSource, overrides: &Overrides, environment: &dyn Environment) -> Result<Self, Faults> {
        read(source, overrides, environment, ServiceSecrets::None, |written, _, resolver| {
            written.admin.meaning(resolver)
        })
    }
}
