//! The arguments of `serve`.

use super::ServeOverrides;

/// Run the sidecar (also what flexslot-proxy does without a command)
///
/// Configuration comes from proxy.toml, environment variables and flags; a later one wins. With no configuration at all,
///
///     FLEXSLOT_PAT=flx_pat_… flexslot-proxy
///
/// serves one tenant with that PAT on http://localhost:3539.
///
/// SIGHUP, and a change of the file or of a secret's file, reload. SIGTERM and SIGINT finish what is in flight; a second one exits at once.
#[derive(Debug, Clone, Default, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct ServeArgs {
    #[command(flatten)]
    pub overrides: ServeOverrides,
}
