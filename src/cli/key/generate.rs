//! `key generate`

use std::path::PathBuf;

use crate::{
    cli::{Console, Failure},
    model::{FileAccess, Random},
    store::{keyfile::KeyFile, seal::Sealer},
};

/// Make a new encryption key: one line, 32 random bytes in base64
///
/// A sidecar with a new sqlite: store makes its key by itself. Make one beforehand to keep it elsewhere, such as in a
/// secret manager:
///
///     flexslot-proxy key generate --out /etc/flexslot-proxy/key
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct GenerateArgs {
    /// Write it to this new file, readable for its owner alone, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

// === impl GenerateArgs ===

impl GenerateArgs {
    pub(super) fn run(self, console: &mut Console, random: &Random) -> Result<(), Failure> {
        let Some(path) = self.out else {
            return console.data_line(Sealer::generate_key_line(random).expose());
        };
        KeyFile::new(&path, FileAccess::Private).create(random)?;
        console
            .tell(format_args!("A new key is in {}. Back it up: without it the store cannot be read.", path.display()));
        Ok(())
    }
}
