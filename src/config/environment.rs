//! What the process finds around itself, handed in so that tests need neither variables nor files of the machine.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

use crate::model::file_access::FileOwner;

/// The most that is read of any file that the configuration names: room for a large CA bundle.
const MAX_FILE: u64 = 4 << 20;

/// Variables and files.
pub trait Environment: Send + Sync {
    /// The variable's value, as it is.
    fn variable(&self, name: &str) -> Option<OsString>;

    /// Where relative paths of flags and variables begin.
    fn current_dir(&self) -> io::Result<PathBuf>;

    /// A file's contents with the facts that its access rule needs.
    fn read(&self, path: &Path) -> io::Result<FileRead>;

    /// Whether something is there.
    fn exists(&self, path: &Path) -> bool;
}

/// A file as read. The facts are those of the very file whose bytes these are.
#[derive(Debug)]
pub struct FileRead {
    pub bytes: Zeroizing<Vec<u8>>,
    /// The permission bits, such as `0o600`.
    pub mode: u32,
    pub owner: FileOwner,
}

/// The machine's variables and files.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEnvironment;

// === impl SystemEnvironment ===

impl Environment for SystemEnvironment {
    fn variable(&self, name: &str) -> Option<OsString> {
        std::env::var_os(name)
    }

    fn current_dir(&self) -> io::Result<PathBuf> {
        std::env::current_dir()
    }

    fn read(&self, path: &Path) -> io::Result<FileRead> {
        let file = File::open(path)?;
        let facts = file.metadata()?;
        if facts.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // Never grown while it is filled, so that no copy of a secret is left behind in freed memory; the size is a
        // guess for pipes.
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(facts.len().min(MAX_FILE)).unwrap_or(0) + 1));
        file.take(MAX_FILE + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let owner = FileOwner::of(facts.uid(), rustix::process::geteuid().as_raw());
        Ok(FileRead { bytes, mode: facts.mode() & 0o7777, owner })
    }

    fn exists(&self, path: &Path) -> bool {
        path.exists()
    }
}

#[cfg(test)]
mod tests {
    use super::{Environment, FileOwner, MAX_FILE, SystemEnvironment};
    use std::{fs, io, os::unix::fs::PermissionsExt};

    #[test]
    fn files_come_with_their_mode_and_owner() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        fs::write(&path, "text").unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let file = SystemEnvironment.read(&path).unwrap();
        assert_eq!((&file.bytes[..], file.mode, file.owner), (&b"text"[..], 0o640, FileOwner::ThisProcess));
    }

    #[test]
    fn what_is_no_file_of_sensible_size_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let kind = |path: &std::path::Path| SystemEnvironment.read(path).unwrap_err().kind();
        assert_eq!(kind(dir.path()), io::ErrorKind::IsADirectory);
        assert_eq!(kind(&dir.path().join("none")), io::ErrorKind::NotFound);
        let large = dir.path().join("large");
        fs::File::create(&large).unwrap().set_len(MAX_FILE + 1).unwrap();
        assert_eq!(kind(&large), io::ErrorKind::FileTooLarge);
    }
}
