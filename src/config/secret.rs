//! Secrets, which the file never holds but only names: `{ env = "NAME" }` or `{ file = "path" }`.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use super::{
    environment::Environment,
    fault::Wrong,
    reader::{Table, Value},
    report::Setting,
};
use crate::model::{FileAccess, Secret, file_access::TooOpen, prefix};

/// Where a secret is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecretSource {
    Env { name: String },
    File { path: PathBuf, access: FileAccess },
}

/// A secret as it was when the configuration was read, and where to read it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfiguredSecret {
    pub source: SecretSource,
    pub secret: Secret,
}

/// Why a secret could not be had. Names its source, never its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    NotSet { name: String },
    Missing { path: PathBuf },
    Failed { path: PathBuf, kind: io::ErrorKind },
    TooOpen { path: PathBuf, mode: u32, to_others: TooOpen },
    Empty { source: SecretSource },
    NotText { source: SecretSource },
}

const HOW_TO_WRITE: &str = "write { env = \"NAME\" } or { file = \"path\" }";

// === impl SecretSource ===

impl SecretSource {
    /// As the file writes it. A secret written out is a fault that does not repeat it.
    pub(super) fn read_written(value: &Value<'_>) -> Option<Self> {
        Self::of_table(written_table(value, HOW_TO_WRITE)?, "expected either env or file", HOW_TO_WRITE)
    }

    /// The same once it is known to be a table. Where that names no source, or two, the fault is `otherwise`.
    pub(super) fn of_table(mut table: Table<'_>, otherwise: &str, how_to_write: &str) -> Option<Self> {
        let env = table.key("env", |value| value.text("the name of an environment variable", variable_name));
        let file = table.key("file", |value| value.text("a path", file_path));
        let any_mode = table.key("any_mode", Value::boolean);
        let source = match (env, file) {
            (Setting::Given(name), Setting::Absent) if matches!(any_mode, Setting::Absent) => {
                Some(Self::Env { name: name.value })
            }
            (Setting::Given(_), Setting::Absent) => {
                table.fault(Wrong::new("any_mode is for files only"));
                None
            }
            (Setting::Absent, Setting::Given(path)) => {
                let access = if any_mode.or(false) { FileAccess::AnyMode } else { FileAccess::Private };
                Some(Self::File { path: path.value, access })
            }
            (Setting::Faulty, _) | (_, Setting::Faulty) => None,
            (Setting::Absent, Setting::Absent) | (Setting::Given(_), Setting::Given(_)) => {
                table.fault(Wrong::new(otherwise).hint(how_to_write));
                None
            }
        };
        table.finish();
        source
    }

    /// Reads the secret, without the line end that editors and `echo` leave behind it.
    pub fn read(&self, environment: &dyn Environment) -> Result<Secret, Unreadable> {
        let text = match self {
            Self::Env { name } => environment
                .variable(name)
                .ok_or_else(|| Unreadable::NotSet { name: name.clone() })?
                .into_string()
                .map(Zeroizing::new)
                .map_err(|_| Unreadable::NotText { source: self.clone() })?,
            Self::File { path, access } => {
                let file = environment.read(path).map_err(|error| Unreadable::from_io(path, &error))?;
                let too_open = |to_others| Unreadable::TooOpen { path: path.clone(), mode: file.mode, to_others };
                access.check(file.mode, file.owner).map_err(too_open)?;
                let text =
                    std::str::from_utf8(&file.bytes).map_err(|_| Unreadable::NotText { source: self.clone() })?;
                Zeroizing::new(text.to_owned())
            }
        };
        let line = text.strip_suffix('\n').unwrap_or(&text);
        match line.strip_suffix('\r').unwrap_or(line) {
            "" => Err(Unreadable::Empty { source: self.clone() }),
            text => Ok(Secret::new(text)),
        }
    }

    /// The file to watch, where the secret lies in one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Env { .. } => None,
            Self::File { path, .. } => Some(path),
        }
    }
}

impl fmt::Display for SecretSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Env { name } => write!(f, "environment variable {name}"),
            Self::File { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

// === impl ConfiguredSecret ===

impl ConfiguredSecret {
    /// Reads the secret from its source.
    pub fn read(source: SecretSource, environment: &dyn Environment) -> Result<Self, Unreadable> {
        Ok(Self { secret: source.read(environment)?, source })
    }
}

/// The table that says where a secret is. A secret written out is a fault that does not repeat it.
pub(super) fn written_table<'a>(value: &Value<'a>, how_to_write: &str) -> Option<Table<'a>> {
    if value.is_text() {
        value.fault(Wrong::new("a secret is never written in the file").hint(how_to_write));
        return None;
    }
    if !value.is_table() {
        value.expected_as("a secret", how_to_write);
        return None;
    }
    value.table()
}

fn variable_name(text: &str) -> Result<String, Wrong> {
    let mut bytes = text.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let is_name =
        first && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') && !prefix::is_credential(text);
    is_name.then(|| text.to_owned()).ok_or_else(|| Wrong::new("not the name of an environment variable"))
}

fn file_path(text: &str) -> Result<PathBuf, Wrong> {
    let is_path = !text.is_empty() && !text.contains('\0') && !prefix::is_credential(text);
    is_path.then(|| text.into()).ok_or_else(|| Wrong::new("not a path"))
}

// === impl Unreadable ===

impl Unreadable {
    fn from_io(path: &Path, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing { path: path.to_owned() },
            kind => Self::Failed { path: path.to_owned(), kind },
        }
    }

    /// What mends it, where there is one thing that does.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::TooOpen { path, to_others, .. } => Some(format!(
                "chmod {} {}, or add any_mode = true beside the path",
                to_others.mended_by(),
                path.display()
            )),
            Self::NotSet { name } => Some(format!("set {name}, or keep the secret in a file: {{ file = \"path\" }}")),
            Self::Missing { .. } => Some("put the secret there, readable for this user alone (chmod 600)".to_owned()),
            Self::Failed { kind: io::ErrorKind::PermissionDenied, .. } => Some(
                "let this user read it; LoadCredential= in a unit of systemd hands it over as a file below $CREDENTIALS_DIRECTORY"
                    .to_owned(),
            ),
            Self::Empty { .. } => Some("write the secret there, on one line".to_owned()),
            Self::Failed { .. } | Self::NotText { .. } => None,
        }
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSet { name } => write!(f, "environment variable {name} is not set"),
            Self::Missing { path } => write!(f, "{} does not exist", path.display()),
            Self::Failed { path, kind } => write!(f, "{} cannot be read: {kind}", path.display()),
            Self::TooOpen { path, mode, to_others } => write!(f, "{} (mode {mode:04o}) {to_others}", path.display()),
            Self::Empty { source } => write!(f, "{source} is empty"),
            Self::NotText { source } => write!(f, "{source} is not UTF-8 text"),
        }
    }
}

impl std::error::Error for Unreadable {}
