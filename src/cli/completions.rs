//! `completions SHELL`

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Console, Failure};

/// Print a completion script for a shell
///
/// For bash, for one session: source <(flexslot-proxy completions bash)
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArgs {
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

// === impl CompletionsArgs ===

impl CompletionsArgs {
    pub(super) fn run(self, console: &mut Console) -> Result<(), Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "flexslot-proxy", &mut script);
        console.data(&script)
    }
}
