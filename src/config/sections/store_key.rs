//! `store.encryption_key`: where the key is kept that the store is sealed with.

use std::{fmt, path::Path};

use crate::{
    config::{
        fault::{Place, Wrong},
        keyring::{KeyringItem, item_name},
        meaning::Resolver,
        reader::Value,
        report::{At, Setting, Spot},
        secret::{SecretSource, Unreadable, written_table},
    },
    model::{FileAccess, Secret},
};

/// The encryption key: one or more lines of 32 bytes in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreKey {
    pub location: KeyLocation,
    /// The text as read. `None`: the file does not exist; one is generated with a new SQLite store, and an old store
    /// cannot be opened. A keyring is not asked when the configuration is read, which happens whenever one of its files
    /// has changed: its owner may be asked for a password.
    pub text: Option<Secret>,
}

/// Where the encryption key is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyLocation {
    Secret(SecretSource),
    Keyring(KeyringItem),
}

/// `store.encryption_key` as written.
#[derive(Debug)]
pub(super) enum WrittenKey {
    Secret(SecretSource),
    Keyring { name: String },
}

const KEY_FILE: &str = "flexslot-proxy.key";

const HOW_TO_WRITE: &str = "write { env = \"NAME\" }, { file = \"path\" } or { keyring = \"NAME\" }";

// === impl StoreKey ===

impl StoreKey {
    /// The key of a database, which begins with a new one where there is none.
    pub(super) fn read(written: Setting<WrittenKey>, dir: &Path, resolver: &Resolver<'_>) -> Self {
        Self::read_or(written, dir, resolver, |_, _| {})
    }

    /// The key of a store that other machines may use too. Somebody has to hand the same one to all of them.
    pub(super) fn read_shared(written: Setting<WrittenKey>, dir: &Path, resolver: &Resolver<'_>) -> Self {
        Self::read_or(written, dir, resolver, |source, spot| {
            let wrong =
                Wrong::new(format!("{source} does not exist, and every sidecar on this store needs the same key"));
            resolver.fault(spot, wrong.hint("make one with: flexslot-proxy key generate"));
        })
    }

    fn read_or(
        written: Setting<WrittenKey>,
        dir: &Path,
        resolver: &Resolver<'_>,
        missing: impl FnOnce(&SecretSource, &Spot),
    ) -> Self {
        let (source, spot) = match written.into_given() {
            Some(At { value: WrittenKey::Keyring { name }, .. }) => {
                let item = KeyringItem::new(name, resolver.environment);
                return Self { location: KeyLocation::Keyring(item), text: None };
            }
            Some(At { value: WrittenKey::Secret(source), spot }) => (resolver.source(source, spot.place), spot),
            None => {
                let beside = SecretSource::File { path: dir.join(KEY_FILE), access: FileAccess::Private };
                (beside, Spot::new(Place::Default, "store.encryption_key"))
            }
        };
        let text = match source.read(resolver.environment) {
            Ok(text) => Some(text),
            Err(Unreadable::Missing { .. }) => {
                missing(&source, &spot);
                None
            }
            Err(unreadable) => {
                resolver.unreadable(&spot, &unreadable);
                None
            }
        };
        Self { location: KeyLocation::Secret(source), text }
    }
}

// === impl KeyLocation ===

impl KeyLocation {
    /// The file to watch, where the key lies in one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Secret(source) => source.file(),
            Self::Keyring(_) => None,
        }
    }
}

impl fmt::Display for KeyLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(source) => source.fmt(f),
            Self::Keyring(item) => item.fmt(f),
        }
    }
}

// === impl WrittenKey ===

impl WrittenKey {
    pub(super) fn read(value: &Value<'_>) -> Option<Self> {
        let mut table = written_table(value, HOW_TO_WRITE)?;
        match table.key("keyring", |value| value.text("the name of an item", item_name)) {
            Setting::Absent => {
                let source = SecretSource::of_table(table, "expected one of env, file and keyring", HOW_TO_WRITE);
                source.map(Self::Secret)
            }
            Setting::Faulty => None,
            Setting::Given(name) if table.is_read() => Some(Self::Keyring { name: name.value }),
            Setting::Given(_) => {
                table.fault(Wrong::new("keyring stands alone").hint(HOW_TO_WRITE));
                None
            }
        }
    }
}
