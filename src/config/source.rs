//! Which file is read, and reading it.

use std::path::{Path, PathBuf};

use super::{
    environment::Environment,
    fault::{Fault, Faults, Place},
    report::Report,
};
use crate::model::file_access::FileOwner;

/// Where the configuration comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigSource {
    /// There is no file; defaults, flags and variables alone.
    BuiltIn,
    /// `./proxy.toml`, which nobody has named and which is there.
    Found,
    /// Somebody has named it.
    File(PathBuf),
}

/// The variable that names the file.
const VARIABLE: &str = "FLEXSLOT_PROXY_CONFIG";
/// What is taken without being named.
const IN_CURRENT_DIR: &str = "proxy.toml";
/// The permission bit that lets everybody write. A group often has its owner alone.
const BY_ANYBODY: u32 = 0o002;

// === impl ConfigSource ===

impl ConfigSource {
    /// The file that `--config` names, else that of `FLEXSLOT_PROXY_CONFIG`, else `./proxy.toml` if it is there.
    pub fn find(flag: Option<&Path>, environment: &dyn Environment) -> Self {
        if let Some(path) = flag {
            return Self::File(path.to_owned());
        }
        match environment.variable(VARIABLE).filter(|path| !path.is_empty()) {
            Some(path) => Self::File(path.into()),
            None if environment.exists(Path::new(IN_CURRENT_DIR)) => Self::Found,
            None => Self::BuiltIn,
        }
    }

    /// The file's path.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::BuiltIn => None,
            Self::Found => Some(Path::new(IN_CURRENT_DIR)),
            Self::File(path) => Some(path),
        }
    }

    /// The file's name for messages.
    pub(super) fn name(&self) -> Option<String> {
        self.path().map(|path| path.display().to_string())
    }

    /// The file's text; no text without a file.
    pub(super) fn read(&self, environment: &dyn Environment) -> Result<String, Faults> {
        let Some(path) = self.path() else { return Ok(String::new()) };
        let faults =
            |place, what, hint| Faults::new(self.name(), vec![Fault { place, key: String::new(), what, hint }]);
        let file = environment.read(path).map_err(|error| {
            let (what, hint) = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    ("does not exist".to_owned(), Some(format!("name the file with --config or {VARIABLE}")))
                }
                kind => (format!("cannot be read: {kind}"), None),
            };
            faults(Place::File, what, hint)
        })?;
        // It says where tokens go, and a running sidecar takes it over as soon as it is changed.
        if file.mode & BY_ANYBODY != 0 {
            let what = format!("anybody can write it (mode {:o})", file.mode);
            return Err(faults(Place::File, what, Some(format!("chmod o-w {}", path.display()))));
        }
        if *self == Self::Found && file.owner == FileOwner::SomebodyElse {
            let what = "belongs to another user, and nobody has named it".to_owned();
            return Err(faults(Place::File, what, Some(format!("if it is meant: --config {IN_CURRENT_DIR}"))));
        }
        match std::str::from_utf8(&file.bytes) {
            Ok(text) => Ok(text.to_owned()),
            Err(error) => {
                let valid = file
                    .bytes
                    .get(..error.valid_up_to())
                    .and_then(|bytes| std::str::from_utf8(bytes).ok())
                    .unwrap_or("");
                Err(faults(Report::new(valid).place(valid.len()), "not UTF-8".to_owned(), None))
            }
        }
    }
}
