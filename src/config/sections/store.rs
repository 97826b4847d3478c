//! `[store]`: where credentials are kept.

use std::path::{Path, PathBuf};

use crate::{
    config::{
        fault::{Place, Wrong},
        meaning::Resolver,
        reader::{Table, Value},
        report::{At, Setting, Spot},
        secret::{SecretSource, Unreadable},
    },
    model::{FileAccess, Secret},
};

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    pub engine: Engine,
    /// For the spool and the instance lock. `None` only with [`Engine::Memory`], when nothing tells where it could be.
    pub state_dir: Option<PathBuf>,
}

/// Which store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Engine {
    /// Forgotten at exit; sealed with a key that is never written.
    Memory,
    Sqlite {
        path: PathBuf,
        key: StoreKey,
    },
}

/// The encryption key: one or more lines of 32 bytes in base64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreKey {
    pub source: SecretSource,
    /// The text as read. `None`: there is no such file; a new store gets one, and an old store cannot be opened.
    pub text: Option<Secret>,
}

/// `[store]` as written.
#[derive(Debug, Default)]
pub(in crate::config) struct Written {
    pub(in crate::config) url: Setting<WrittenUrl>,
    encryption_key: Setting<SecretSource>,
    state_dir: Setting<PathBuf>,
}

/// `store.url` as written.
#[derive(Debug, Clone)]
pub(in crate::config) enum WrittenUrl {
    Literal(StoreUrl),
    Kept(SecretSource),
}

/// A store's URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::config) enum StoreUrl {
    Memory,
    Sqlite(PathBuf),
}

/// What to take where nobody names a store and there is no file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::config) enum Unconfigured {
    /// A database, created when it is not there.
    Database,
    /// A database if one is there; else memory, so that nothing writable is needed.
    MemoryUnlessFound,
}

const DATABASE: &str = "flexslot-proxy.db";
const KEY_FILE: &str = "flexslot-proxy.key";

// === impl Store ===

impl Store {
    /// Whether `other` is the same place, with its key in the same place. The key itself may have changed.
    pub fn lies_where(&self, other: &Self) -> bool {
        match (&self.engine, &other.engine) {
            (Engine::Memory, Engine::Memory) => true,
            (Engine::Sqlite { path: mine, key: own }, Engine::Sqlite { path, key }) => {
                mine == path && own.source == key.source
            }
            (Engine::Memory, Engine::Sqlite { .. }) | (Engine::Sqlite { .. }, Engine::Memory) => false,
        }
    }

    /// Where the encryption key is kept; `None` for a store that has none.
    pub fn key_source(&self) -> Option<&SecretSource> {
        match &self.engine {
            Engine::Memory => None,
            Engine::Sqlite { key, .. } => Some(&key.source),
        }
    }
}

// === impl StoreKey ===

impl StoreKey {
    fn read(written: Setting<SecretSource>, dir: &Path, resolver: &Resolver<'_>) -> Self {
        let (source, spot) = match written.into_given() {
            Some(At { value, spot }) => (resolver.source(value, spot.place), spot),
            None => {
                let beside = SecretSource::File { path: dir.join(KEY_FILE), access: FileAccess::Private };
                (beside, Spot::new(Place::Default, "store.encryption_key"))
            }
        };
        let text = match source.read(resolver.environment) {
            Ok(text) => Some(text),
            Err(Unreadable::Missing { .. }) => None,
            Err(unreadable) => {
                resolver.unreadable(&spot, &unreadable);
                None
            }
        };
        Self { source, text }
    }
}

// === impl Written ===

impl Written {
    pub(in crate::config) fn read(mut table: Table<'_>) -> Self {
        let written = Self {
            url: table.key("url", |value| {
                if value.is_table() {
                    SecretSource::read_written(value).map(WrittenUrl::Kept)
                } else {
                    value.text("a store's URL", StoreUrl::parse).map(WrittenUrl::Literal)
                }
            }),
            encryption_key: table.key("encryption_key", SecretSource::read_written),
            state_dir: table.key("state_dir", |value: &Value<'_>| value.text("a path", |text| Ok(PathBuf::from(text)))),
        };
        table.finish();
        written
    }

    pub(in crate::config) fn meaning(self, unconfigured: Unconfigured, resolver: &Resolver<'_>) -> Store {
        let Self { url, encryption_key, state_dir } = self;
        let state_dir = state_dir.into_given().map(|at| resolver.path(&at.value, at.spot.place));
        let database = match url {
            Setting::Absent | Setting::Faulty => default_database(unconfigured, state_dir.as_deref(), resolver),
            Setting::Given(At { value, spot }) => match value.meaning(&spot, resolver) {
                Some(StoreUrl::Sqlite(path)) => Some(resolver.path(&path, spot.place)),
                Some(StoreUrl::Memory) | None => None,
            },
        };
        match database {
            None => Store { engine: Engine::Memory, state_dir: state_dir.or_else(|| default_state_dir(resolver)) },
            Some(path) => {
                let dir = path.parent().unwrap_or(Path::new(".")).to_owned();
                let key = StoreKey::read(encryption_key, &dir, resolver);
                Store { engine: Engine::Sqlite { path, key }, state_dir: Some(state_dir.unwrap_or(dir)) }
            }
        }
    }
}

/// `None`: memory.
fn default_database(unconfigured: Unconfigured, state_dir: Option<&Path>, resolver: &Resolver<'_>) -> Option<PathBuf> {
    if let Some(dir) = resolver.file_dir() {
        return Some(dir.join(DATABASE));
    }
    let found = state_dir.map(Path::to_owned).or_else(|| default_state_dir(resolver)).map(|dir| dir.join(DATABASE));
    match (unconfigured, found) {
        (Unconfigured::MemoryUnlessFound, found) => found.filter(|path| resolver.environment.exists(path)),
        (Unconfigured::Database, Some(path)) => Some(path),
        (Unconfigured::Database, None) => {
            let wrong = Wrong::new("nothing tells where the store could lie: no file, and HOME is not set");
            resolver.fault(&Spot::new(Place::Default, "store.url"), wrong.hint("use --store sqlite:PATH"));
            None
        }
    }
}

/// `$STATE_DIRECTORY` (systemd, which may list several), else below `$XDG_STATE_HOME`, else below the home directory.
fn default_state_dir(resolver: &Resolver<'_>) -> Option<PathBuf> {
    // The XDG specification has relative paths ignored.
    let absolute = |name| resolver.variable(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let of_systemd = resolver.variable("STATE_DIRECTORY").and_then(|list| list.split(':').next().map(PathBuf::from));
    of_systemd
        .or_else(|| absolute("XDG_STATE_HOME").map(|dir| dir.join("flexslot-proxy")))
        .or_else(|| absolute("HOME").map(|dir| dir.join(".local/state/flexslot-proxy")))
}

// === impl WrittenUrl ===

impl WrittenUrl {
    fn meaning(self, spot: &Spot, resolver: &Resolver<'_>) -> Option<StoreUrl> {
        let source = match self {
            Self::Literal(url) => return Some(url),
            Self::Kept(source) => source,
        };
        let secret = resolver.secret(Setting::Given(At { value: source, spot: spot.clone() }))?;
        StoreUrl::parse(secret.secret.expose()).map_err(|wrong| resolver.fault(spot, wrong)).ok()
    }
}

// === impl StoreUrl ===

impl StoreUrl {
    pub(in crate::config) fn parse(text: &str) -> Result<Self, Wrong> {
        if text == "memory:" {
            return Ok(Self::Memory);
        }
        let Some(path) = text.strip_prefix("sqlite:") else { return Err(unknown_engine(text)) };
        // sqlite:///var/lib/x.db, as other programs write it.
        let path = match path.strip_prefix("//") {
            Some(absolute) if absolute.starts_with('/') => absolute,
            Some(_) => return Err(Wrong::new("a path does not begin with //").hint("write \"sqlite:PATH\"")),
            None => path,
        };
        if path == ":memory:" {
            return Err(Wrong::new("a database in memory is another store").hint("write \"memory:\""));
        }
        if path.is_empty() || path.ends_with('/') || path.contains(['?', '\0']) {
            return Err(Wrong::new("not the path of a database").hint("write \"sqlite:PATH\""));
        }
        Ok(Self::Sqlite(path.into()))
    }
}

/// `text` may hold a password, so nothing of it is repeated.
fn unknown_engine(text: &str) -> Wrong {
    let wrong = Wrong::new("not a store that this version knows");
    match text.contains("://") && text.contains('@') {
        true => wrong.hint("write \"sqlite:PATH\" or \"memory:\"; a URL with a password is never written in the file"),
        false => wrong.hint("write \"sqlite:PATH\" or \"memory:\""),
    }
}
