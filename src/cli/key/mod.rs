//! `key …`: the encryption key of the store.

mod generate;
mod keeper;
mod rotate;

use super::{Failure, GlobalArgs, World};

/// The encryption key of the store
#[derive(Debug, clap::Args)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, clap::Subcommand)]
enum KeyCommand {
    Generate(generate::GenerateArgs),
    Rotate(rotate::RotateArgs),
}

// === impl KeyArgs ===

impl KeyArgs {
    pub(super) fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        match self.command {
            KeyCommand::Generate(args) => args.run(world),
            KeyCommand::Rotate(args) => super::runtime()?.block_on(args.run(global, world)),
        }
    }
}
