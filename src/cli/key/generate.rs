//! `key generate`

use std::path::PathBuf;

use crate::{
    app::storage::keyring,
    cli::{Failure, World},
    config::{KeyringItem, parse_item_name},
    model::FileAccess,
    store::{
        keyfile::KeyFile,
        keyring::{KeyringError, Made},
        seal::Sealer,
    },
};

/// Make a new encryption key: one line, 32 random bytes in base64
///
/// A sidecar with a new sqlite: store makes its key by itself. Make one beforehand to keep it
/// elsewhere, such as in a secret manager:
///
///     flexslot-proxy key generate --out /etc/flexslot-proxy/key
///     flexslot-proxy key generate --keyring laptop
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct GenerateArgs {
    /// Write it to this new file, readable for its owner alone, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Put it into the desktop's keyring, as a new item of this name for store.encryption_key
    #[arg(long, value_name = "NAME", conflicts_with = "out", value_parser = parse_item_name)]
    keyring: Option<String>,
}

// === impl GenerateArgs ===

impl GenerateArgs {
    pub(super) fn run(self, world: &mut World<'_>) -> Result<(), Failure> {
        if let Some(name) = self.keyring {
            return in_keyring(name, world);
        }
        let Some(path) = self.out else {
            return world.console.data_line(Sealer::generate_key_line(&world.random).expose());
        };
        KeyFile::new(&path, FileAccess::Private).create(&world.random)?;
        let path = path.display();
        world.console.tell(format_args!("A new key is in {path}. Back it up: without it the store cannot be read."));
        Ok(())
    }
}

fn in_keyring(name: String, world: &mut World<'_>) -> Result<(), Failure> {
    let keyring = keyring(&KeyringItem::new(name, world.environment));
    match keyring.create(&world.random)? {
        Made::Found(_) => Err(KeyringError::Exists(keyring.item().clone()).into()),
        Made::New(_) => {
            let (item, name) = (keyring.item(), keyring.name());
            world.console.tell(format_args!(
                "A new key is in the desktop's keyring, as {item}. Back it up: without it the store cannot be read.\n\
                 hint: write encryption_key = {{ keyring = \"{name}\" }} below [store]; secret-tool lookup service flexslot-proxy store {name} shows the key"
            ));
            Ok(())
        }
    }
}
