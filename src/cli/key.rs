//! `key generate`

use std::{
    fs::OpenOptions,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use zeroize::Zeroizing;

use super::{Console, Failure};
use crate::model::Random;

/// The encryption key of the store
#[derive(Debug, clap::Args)]
pub(super) struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Debug, clap::Subcommand)]
enum KeyCommand {
    Generate(GenerateArgs),
}

/// Make a new encryption key: one line, 32 random bytes in base64
///
/// A sidecar with a new sqlite: store makes its key by itself. Make one beforehand to keep it elsewhere, such as in a secret manager:
///
///     flexslot-proxy key generate --out /etc/flexslot-proxy/key
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
struct GenerateArgs {
    /// Write it to this new file, readable for its owner alone, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

// === impl KeyArgs ===

impl KeyArgs {
    pub(super) fn run(self, console: &mut Console, random: &Random) -> Result<(), Failure> {
        let KeyCommand::Generate(GenerateArgs { out }) = self.command;
        let line = key_line(random);
        let Some(path) = out else { return console.data(line.as_bytes()) };
        write_new(&path, line.as_bytes()).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => {
                Failure::new(format!("{} exists already, and a key is never overwritten", path.display()))
                    .hint("name another file; a store can be read only with the key that it was made with")
            }
            kind => Failure::new(format!("{} cannot be written: {kind}", path.display())),
        })?;
        console
            .tell(format_args!("A new key is in {}. Back it up: without it the store cannot be read.", path.display()));
        Ok(())
    }
}

fn key_line(random: &Random) -> Zeroizing<String> {
    let key = Zeroizing::new(random.bytes::<32>());
    let mut line = Zeroizing::new(STANDARD.encode(*key));
    line.push('\n');
    line
}

/// Writes a file that was not there, for its owner alone.
fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
