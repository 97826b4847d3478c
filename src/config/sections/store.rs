//! `[store]`: where credentials are kept.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use crate::config::{
    fault::{Place, Wrong},
    meaning::Resolver,
    reader::{Table, Value},
    report::{At, Setting, Spot},
    secret::{ConfiguredSecret, SecretSource},
    sections::{
        store_key::{KeyLocation, StoreKey, WrittenKey},
        store_url::{ServerUrl, StoreUrl},
        upstream::ExtraRoots,
    },
};

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Store {
    pub engine: Engine,
    /// Where `store.url` is kept, if the file does not write it out.
    pub url_source: Option<SecretSource>,
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
    /// Redis or PostgreSQL. No key is ever generated for it, because the others on the same server need the same.
    Server {
        address: ServerUrl,
        key: StoreKey,
        extra_roots: Option<ExtraRoots>,
    },
}

/// `[store]` as written.
#[derive(Debug, Default)]
pub(in crate::config) struct Written {
    pub(in crate::config) url: Setting<WrittenUrl>,
    ca_file: Setting<PathBuf>,
    encryption_key: Setting<WrittenKey>,
    state_dir: Setting<PathBuf>,
}

/// `store.url` as written.
#[derive(Debug, Clone)]
pub(in crate::config) enum WrittenUrl {
    Literal(StoreUrl),
    Kept(SecretSource),
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

// === impl Store ===

impl Store {
    /// Whether `other` is the same place, with its key in the same place. The key itself may have changed, and a
    /// password.
    pub fn lies_where(&self, other: &Self) -> bool {
        self.engine.lies_where(&other.engine) && self.key_location() == other.key_location()
    }

    /// Whether all who work on it do so on this host, and so can read the same key file.
    pub fn stays_on_this_host(&self) -> bool {
        matches!(self.engine, Engine::Memory | Engine::Sqlite { .. })
    }

    /// Where the encryption key is kept; `None` for a store that has none.
    pub fn key_location(&self) -> Option<&KeyLocation> {
        self.engine.key().map(|key| &key.location)
    }
}

// === impl Engine ===

impl Engine {
    /// Whether `other` is the same place, whatever its key and the password to it.
    pub fn lies_where(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Memory, Self::Memory) => true,
            (Self::Sqlite { path: mine, .. }, Self::Sqlite { path, .. }) => mine == path,
            (Self::Server { address: mine, .. }, Self::Server { address, .. }) => mine.lies_where(address),
            (Self::Memory | Self::Sqlite { .. } | Self::Server { .. }, _) => false,
        }
    }

    /// Whether `other` is the same place, and reached in the same way.
    pub(in crate::config) fn is_reached_like(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Server { address: mine, .. }, Self::Server { address, .. }) => mine == address,
            _ => self.lies_where(other),
        }
    }

    /// The authorities of `store.ca_file`, where the engine uses them.
    pub fn extra_roots(&self) -> Option<&ExtraRoots> {
        match self {
            Self::Memory | Self::Sqlite { .. } => None,
            Self::Server { extra_roots, .. } => extra_roots.as_ref(),
        }
    }

    /// The key that seals; `None` for a store that makes its own and forgets it.
    pub fn key(&self) -> Option<&StoreKey> {
        match self {
            Self::Memory => None,
            Self::Sqlite { key, .. } | Self::Server { key, .. } => Some(key),
        }
    }

    pub(in crate::config) fn key_mut(&mut self) -> Option<&mut StoreKey> {
        match self {
            Self::Memory => None,
            Self::Sqlite { key, .. } | Self::Server { key, .. } => Some(key),
        }
    }
}

/// As `store.url` has it, without user, password and options.
impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Sqlite { path, .. } => write!(f, "sqlite:{}", path.display()),
            Self::Server { address, .. } => address.fmt(f),
        }
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
                    value.text("a store's URL", StoreUrl::parse_literal).map(WrittenUrl::Literal)
                }
            }),
            ca_file: table.key("ca_file", |value| value.text("a path", |text| Ok(text.into()))),
            encryption_key: table.key("encryption_key", WrittenKey::read),
            state_dir: table.key("state_dir", |value: &Value<'_>| value.text("a path", |text| Ok(PathBuf::from(text)))),
        };
        table.finish();
        written
    }

    pub(in crate::config) fn meaning(self, unconfigured: Unconfigured, resolver: &Resolver<'_>) -> Store {
        let Self { url, ca_file, encryption_key, state_dir } = self;
        let state_dir = state_dir.into_given().map(|at| resolver.path(&at.value, at.spot.place));
        let default = || {
            let database = default_database(unconfigured, state_dir.as_deref(), resolver);
            database.map_or(StoreUrl::Memory, StoreUrl::Sqlite)
        };
        let (place, named_by, url_source) = match url {
            Setting::Absent => (Some(default()), Place::Default, None),
            Setting::Faulty => (None, Place::Default, None),
            Setting::Given(At { value, spot }) => {
                let (place, source) = value.meaning(&spot, resolver);
                (place, spot.place, source)
            }
        };
        let extra_roots = ca_file.into_given().and_then(|at| roots(&at, place.as_ref(), named_by, resolver));
        // Where the URL is faulty there is no configuration in the end.
        match place.unwrap_or(StoreUrl::Memory) {
            StoreUrl::Memory => {
                let state_dir = state_dir.or_else(|| default_state_dir(resolver));
                Store { engine: Engine::Memory, url_source, state_dir }
            }
            StoreUrl::Sqlite(path) => {
                let dir = path.parent().unwrap_or(Path::new(".")).to_owned();
                let key = StoreKey::read(encryption_key, &dir, resolver);
                Store { engine: Engine::Sqlite { path, key }, url_source, state_dir: Some(state_dir.unwrap_or(dir)) }
            }
            StoreUrl::Server(address) => {
                let state_dir = state_dir.or_else(|| required_state_dir(resolver));
                let beside = resolver.file_dir().or(state_dir.as_deref()).unwrap_or(Path::new("."));
                let key = StoreKey::read_shared(encryption_key, beside, resolver);
                Store { engine: Engine::Server { address, key, extra_roots }, url_source, state_dir }
            }
        }
    }
}

/// `ca_file`, read. To trust nobody by it although it is there is a fault, unless a flag or variable names another
/// store than the file.
fn roots(at: &At<PathBuf>, place: Option<&StoreUrl>, named_by: Place, resolver: &Resolver<'_>) -> Option<ExtraRoots> {
    let Some(wrong) = place.and_then(StoreUrl::objection_to_roots) else { return ExtraRoots::read(at, resolver) };
    if !matches!(named_by, Place::Override(_)) && resolver.is_whole() {
        resolver.fault(&at.spot, wrong);
    }
    None
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

/// A pair that the server will not take has to be kept somewhere.
fn required_state_dir(resolver: &Resolver<'_>) -> Option<PathBuf> {
    let dir = default_state_dir(resolver);
    if dir.is_none() {
        let wrong = Wrong::new("nothing tells where tokens can be kept while the store is out of reach");
        resolver
            .fault(&Spot::new(Place::Default, "store.state_dir"), wrong.hint("name a directory of this sidecar's own"));
    }
    dir
}

// === impl WrittenUrl ===

impl WrittenUrl {
    /// The URL, unless it is faulty, and where it is kept.
    fn meaning(self, spot: &Spot, resolver: &Resolver<'_>) -> (Option<StoreUrl>, Option<SecretSource>) {
        let (url, source) = match self {
            Self::Literal(url) => (Some(url), None),
            Self::Kept(source) => match resolver.secret(Setting::Given(At { value: source, spot: spot.clone() })) {
                Some(ConfiguredSecret { source, secret }) => {
                    let url = StoreUrl::parse(secret.expose()).map_err(|wrong| resolver.fault(spot, wrong));
                    (url.ok(), Some(source))
                }
                None => (None, None),
            },
        };
        let url = url.map(|url| match url {
            StoreUrl::Sqlite(path) => StoreUrl::Sqlite(resolver.path(&path, spot.place)),
            other => other,
        });
        (url, source)
    }
}
