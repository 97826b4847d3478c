//! proxy.toml: whatever the file says is either a configuration or a list of faults, each with a line of the file.

use std::{
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use flexslot_proxy::{
    config::{Config, ConfigSource, Environment, Overrides, Place, environment::FileRead},
    model::file_access::FileOwner,
};
use zeroize::Zeroizing;

const FILE: &str = "/etc/flexslot-proxy/proxy.toml";

/// A machine with this one file and no variables.
struct Machine<'a>(&'a [u8]);

impl Environment for Machine<'_> {
    fn variable(&self, _: &str) -> Option<OsString> {
        None
    }

    fn current_dir(&self) -> io::Result<PathBuf> {
        Ok("/".into())
    }

    fn read(&self, path: &Path) -> io::Result<FileRead> {
        match path == Path::new(FILE) {
            true => Ok(FileRead { bytes: Zeroizing::new(self.0.to_vec()), mode: 0o600, owner: FileOwner::ThisProcess }),
            false => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn exists(&self, path: &Path) -> bool {
        path == Path::new(FILE)
    }
}

pub fn run(text: &[u8]) {
    let load = || Config::load(&ConfigSource::File(FILE.into()), &Overrides::default(), &Machine(text));
    let Err(faults) = load() else { return };
    assert!(faults.count() > 0, "refused without a reason");
    let lines = 1 + text.iter().filter(|&&byte| byte == b'\n').count();
    for fault in faults.iter() {
        assert!(!fault.what.is_empty(), "{fault:?}");
        match fault.place {
            Place::Line { line, column } => assert!((1..=lines).contains(&line) && column >= 1, "{fault:?}"),
            Place::File => panic!("a fault without its line: {fault:?}"),
            // What Redis and PostgreSQL need besides their URL, and what this machine has at none of the default places.
            Place::Default if ["store.encryption_key", "store.state_dir"].contains(&fault.key.as_str()) => {}
            Place::Override(_) | Place::Default => panic!("a fault of something that nobody wrote: {fault:?}"),
        }
    }
    assert_eq!(load().expect_err("it was faulty before"), faults, "the same file has the same faults");
}
