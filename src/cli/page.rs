//! `page`

use http::Method;

use super::{
    Failure, GlobalArgs, World,
    overrides::AdminOverrides,
    running::{Running, block_on},
};
use crate::{
    admin::client::SignInLink,
    config::{Config, ServiceSecrets},
};

/// Print a link to the connections page, from the running sidecar
///
/// The link signs one browser in, once, within five minutes. Nothing else is printed to standard output, and nothing is
/// opened.
#[derive(Debug, clap::Args)]
pub(super) struct PageArgs {
    #[command(flatten)]
    overrides: AdminOverrides,
}

// === impl PageArgs ===

impl PageArgs {
    pub(super) fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        let source = global.source(world.environment);
        let config = Config::load_with(ServiceSecrets::OfAdmin, &source, &self.overrides.into(), world.environment)?;
        let running = Running::of(&config)?;
        let answer = block_on(running.ask(Method::POST, "/v1/sign-in-links"))?;
        world.console.data_line(answer.granted()?.document::<SignInLink>()?.url)
    }
}
