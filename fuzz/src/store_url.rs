//! `store.url` from a variable: the configuration takes it or says what is wrong; the engine that it names reads it for
//! itself; and nobody shows its password.
//!
//! Input: the URL.

use std::{
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    time::Duration,
};

use flexslot_proxy::{
    config::{Config, ConfigSource, Environment, Overrides, environment::FileRead},
    model::{Secret, file_access::FileOwner},
    store::{
        OpenError, Opening,
        postgres::{PostgresParams, Trust},
        redis::RedisParams,
    },
};
use rustls::RootCertStore;
use zeroize::Zeroizing;

const FILE: &str = "/etc/flexslot-proxy/proxy.toml";
const KEY: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const TEXT: &str = r#"
    store.url = { env = "STORE_URL" }
    store.encryption_key = { env = "KEY" }
    store.state_dir = "/var/lib/flexslot-proxy"
"#;

/// What the corpus has for a password. No word of ours contains it.
const CANARY: &str = "CANARY";

/// A machine with one file, and the URL in a variable.
struct Machine<'a>(&'a [u8]);

impl Environment for Machine<'_> {
    fn variable(&self, name: &str) -> Option<OsString> {
        match name {
            "STORE_URL" => Some(OsStr::from_bytes(self.0).to_owned()),
            "KEY" => Some(KEY.into()),
            _ => None,
        }
    }

    fn current_dir(&self) -> io::Result<PathBuf> {
        Ok("/".into())
    }

    fn read(&self, path: &Path) -> io::Result<FileRead> {
        match path == Path::new(FILE) {
            true => Ok(FileRead { bytes: Zeroizing::new(TEXT.into()), mode: 0o600, owner: FileOwner::ThisProcess }),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn exists(&self, path: &Path) -> bool {
        path == Path::new(FILE)
    }
}

/// Whether the canary stands where a user or a password does, by the loosest of readings, and nowhere else.
fn is_password(url: &str) -> bool {
    let Some((_, rest)) = url.split_once("://") else { return false };
    let Some((before, after)) = rest.rsplit_once('@') else { return false };
    before.contains(CANARY) && !after.contains(CANARY)
}

fn postgres(url: &Secret) -> Result<String, OpenError> {
    let trust = Trust { system: RootCertStore::empty(), named: None };
    PostgresParams { url: url.clone(), trust, timeout: Duration::from_secs(5), opening: Opening::Look }.place()
}

pub fn run(input: &[u8]) {
    let read = Config::load(&ConfigSource::File(FILE.into()), &Overrides::default(), &Machine(input));
    let Ok(url) = str::from_utf8(input) else { return };
    let hides = is_password(url);
    match &read {
        Ok(config) => assert!(!hides || !format!("{config:?}").contains(CANARY), "{config:?}"),
        Err(faults) => assert!(!format!("{faults} {faults:?}").contains(CANARY), "{faults}"),
    }
    let url = Secret::new(url);
    for place in [RedisParams::new(url.clone()).place(), postgres(&url)] {
        match place {
            Ok(place) => assert!(!hides || !place.contains(CANARY), "{place}"),
            Err(error) => {
                let said = format!("{error} {error:?} {:?}", error.hint());
                assert!(!said.contains(CANARY), "{said}");
            }
        }
    }
}
