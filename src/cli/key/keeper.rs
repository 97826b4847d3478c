//! Who takes keys into and out of the place where they are kept.

use std::fmt;

use crate::{
    app::storage::{KeyHolder, key_holder},
    cli::{Failure, World},
    config::{KeyLocation, SecretSource, StoreConfig},
    store::{
        keyfile::HeldKeyFile,
        keyring::HeldKeyring,
        seal::{KeyId, KeyRing, Sealer},
    },
};

/// Who does it.
pub(super) enum Keeper {
    /// This command, in a place that it holds.
    Us(Held),
    /// The operator, because of this.
    Operator(String),
}

/// Keys that nobody else changes meanwhile.
pub(super) enum Held {
    File(HeldKeyFile),
    Keyring(HeldKeyring),
}

/// `key 1f2e…`, `keys 1f2e…, 3d4c…`
pub(super) struct Keys<'a>(pub(super) &'a [KeyId]);

// === impl Keeper ===

impl Keeper {
    pub(super) fn of(config: &StoreConfig) -> Result<Self, Failure> {
        let location = config.store.key_location().ok_or_else(|| Failure::new("this store has no key"))?;
        if !config.store.stays_on_this_host() {
            return Ok(Self::Operator("other hosts may have it in places of their own".to_owned()));
        }
        match (key_holder(location), location) {
            (Some(KeyHolder::File(file)), _) => Ok(Self::Us(Held::File(file.hold()?))),
            (Some(KeyHolder::Keyring(keyring)), _) => Ok(Self::Us(Held::Keyring(keyring.hold()?))),
            (None, KeyLocation::Secret(SecretSource::Env { name })) => {
                Ok(Self::Operator(format!("it comes from the variable {name}")))
            }
            (None, _) => Err(Failure::new("this store has no key file")),
        }
    }
}

// === impl Held ===

impl Held {
    /// The place in words.
    pub(super) fn place(&self) -> &'static str {
        match self {
            Self::File(_) => "the file",
            Self::Keyring(_) => "the desktop's keyring",
        }
    }

    pub(super) fn keys(&self) -> Result<KeyRing, Failure> {
        match self {
            Self::File(file) => Ok(file.keys()?),
            Self::Keyring(keyring) => Ok(keyring.keys()?),
        }
    }

    /// Makes a key and puts it in front.
    pub(super) fn put_new(&mut self, world: &mut World<'_>) -> Result<KeyRing, Failure> {
        let line = Sealer::generate_key_line(&world.random);
        let (ring, place) = match self {
            Self::Keyring(keyring) => (keyring.put_first(&line)?, "the desktop's keyring"),
            Self::File(file) => {
                let ring = file.put_first(&line).map_err(|error| {
                    let read_only = error.is_read_only();
                    let failure = Failure::from(error);
                    match read_only {
                        true => failure.hint(
                            "put a new key, from key generate, where the file comes from: as the last line everywhere, then as the first line everywhere; then run this again",
                        ),
                        false => failure,
                    }
                })?;
                (ring, "the key file")
            }
        };
        world.console.tell(format_args!("The new key {} is in {place}, in front.", ring.first()));
        Ok(ring)
    }

    /// Takes the `old` keys out.
    pub(super) fn remove(&mut self, old: &[KeyId], world: &mut World<'_>) -> Result<(), Failure> {
        let names = Keys(old);
        match self {
            Self::File(file) => match file.remove(old) {
                Ok(_) => world.console.tell(format_args!(
                    "Removed the old {names} from the key file. Back the file up now, and keep the old key with the backups of the store made before."
                )),
                Err(error) if error.is_read_only() => {
                    world.console.tell(format_args!("{error}.\nNothing needs the old {names} any more: remove it there."));
                }
                Err(error) => return Err(error.into()),
            },
            Self::Keyring(keyring) => {
                keyring.remove(old)?;
                world.console.tell(format_args!(
                    "Removed the old {names} from {}. Backups of the store made before need it: it is now among the former keys, in an item of its own.",
                    keyring.item()
                ));
            }
        }
        Ok(())
    }
}

// === impl Keys ===

impl fmt::Display for Keys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.0.iter().map(KeyId::to_string).collect();
        write!(f, "key{} {}", if ids.len() == 1 { "" } else { "s" }, ids.join(", "))
    }
}
