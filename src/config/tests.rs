//! The room as a whole: files in, meaning or faults out.

mod example;
mod faults;
mod load;
mod reload;
mod traces;

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
};

use super::{Config, ConfigSource, Environment, Faults, Overrides, environment::FileRead};
use crate::model::file_access::FileOwner;

/// A machine that exists only in the test.
#[derive(Default)]
struct FakeEnvironment {
    variables: BTreeMap<String, OsString>,
    files: BTreeMap<PathBuf, (Vec<u8>, u32, FileOwner)>,
}

// === impl FakeEnvironment ===

impl FakeEnvironment {
    /// A machine on which `/etc/fp/proxy.toml` says `text`.
    fn with_config(text: &str) -> Self {
        Self::default().file("/etc/fp/proxy.toml", text)
    }

    fn file(self, path: &str, text: &str) -> Self {
        self.file_with(path, text, 0o600, FileOwner::ThisProcess)
    }

    fn file_with(mut self, path: &str, text: impl AsRef<[u8]>, mode: u32, owner: FileOwner) -> Self {
        self.files.insert(path.into(), (text.as_ref().to_vec(), mode, owner));
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.into());
        self
    }

    /// Reads `/etc/fp/proxy.toml`.
    fn load(&self) -> Result<Config, Faults> {
        self.load_with(&Overrides::default())
    }

    fn load_with(&self, overrides: &Overrides) -> Result<Config, Faults> {
        Config::load(&ConfigSource::File("/etc/fp/proxy.toml".into()), overrides, self)
    }

    fn load_without_file(&self, overrides: &Overrides) -> Result<Config, Faults> {
        Config::load(&ConfigSource::BuiltIn, overrides, self)
    }
}

impl Environment for FakeEnvironment {
    fn variable(&self, name: &str) -> Option<OsString> {
        self.variables.get(name).cloned()
    }

    fn current_dir(&self) -> io::Result<PathBuf> {
        Ok("/work".into())
    }

    fn read(&self, path: &Path) -> io::Result<FileRead> {
        let path = Path::new("/work").join(path);
        let (bytes, mode, owner) = self.files.get(&path).ok_or(io::ErrorKind::NotFound)?;
        Ok(FileRead { bytes: bytes.clone().into(), mode: *mode, owner: *owner })
    }

    fn exists(&self, path: &Path) -> bool {
        self.files.contains_key(&Path::new("/work").join(path))
    }
}

/// The faults of a file, without its directory.
fn faults(text: &str) -> String {
    let faults = FakeEnvironment::with_config(text).load().expect_err("the file is faulty");
    faults.to_string().replace("/etc/fp/", "")
}

/// A certificate that can be a trust root.
fn authority() -> rcgen::Certificate {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap()
}
