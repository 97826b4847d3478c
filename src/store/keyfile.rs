//! The file that holds the encryption key.

mod held;

use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use zeroize::Zeroizing;

pub use self::held::HeldKeyFile;

use super::{
    KeyFileError,
    files::create_whole,
    seal::{KeyRing, KeySource, Sealer},
};
use crate::model::{FileAccess, Random, Secret, file_access::FileOwner};

/// A key file: one or more lines of 32 bytes in base64; the first key seals, all open.
#[derive(Debug, Clone)]
pub struct KeyFile {
    path: PathBuf,
    access: FileAccess,
}

// === impl KeyFile ===

impl KeyFile {
    /// The file at `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>, access: FileAccess) -> Self {
        Self { path: path.into(), access }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the file with one new key, mode 0600; a missing directory gets 0700. It is there whole or not at all, and
    /// never takes the place of another file, not even of one that appears at the same moment.
    pub fn create(&self, random: &Random) -> Result<KeyRing, KeyFileError> {
        let line = Sealer::generate_key_line(random);
        let bytes = Zeroizing::new(format!("{}\n", line.expose()));
        create_whole(&self.path, bytes.as_bytes(), random).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => KeyFileError::Exists { path: self.path.clone() },
            _ => self.failed("write the key file", error),
        })?;
        self.parse(&line)
    }

    /// Reads the keys.
    pub fn read(&self) -> Result<KeyRing, KeyFileError> {
        let mut file = File::open(&self.path).map_err(|error| self.failed("read the key file", error))?;
        // Asked of the open file, so that it is the one that is read.
        let metadata = file.metadata().map_err(|error| self.failed("look at the key file", error))?;
        let mode = metadata.mode() & 0o7777;
        let owner = FileOwner::of(metadata.uid(), rustix::process::geteuid().as_raw());
        let too_open = |to_others| KeyFileError::TooOpen { path: self.path.clone(), mode, to_others };
        self.access.check(mode, owner).map_err(too_open)?;
        // Room from the start, because a buffer that grows leaves unwiped copies behind.
        let room = usize::try_from(metadata.len()).unwrap_or_default().saturating_add(1);
        let mut bytes = Zeroizing::new(Vec::with_capacity(room));
        file.read_to_end(&mut bytes).map_err(|error| self.failed("read the key file", error))?;
        match str::from_utf8(&bytes) {
            Ok(text) => self.parse(&Secret::new(text)),
            Err(_) => Err(self.failed("read the key file", io::Error::from(io::ErrorKind::InvalidData))),
        }
    }

    fn parse(&self, text: &Secret) -> Result<KeyRing, KeyFileError> {
        KeyRing::parse(text).map_err(|fault| KeyFileError::Keys { path: self.path.clone(), fault })
    }

    fn failed(&self, doing: &'static str, error: io::Error) -> KeyFileError {
        KeyFileError::File { path: self.path.clone(), doing, error }
    }
}

/// What a running process does when it meets a key id that it does not know.
impl KeySource for KeyFile {
    fn reread(&self) -> Option<KeyRing> {
        self.read()
            .inspect_err(|error| {
                tracing::warn!(%error, hint = error.hint(), "an unknown encryption key was met, and the key file cannot be read again");
            })
            .ok()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        io::ErrorKind,
        os::unix::fs::{MetadataExt, PermissionsExt},
        path::Path,
    };

    use super::KeyFile;
    use crate::{
        model::{FileAccess, Random},
        store::{KeyFileError, seal::InvalidKeys},
    };

    fn with_mode(dir: &Path, mode: u32) -> KeyFile {
        let file = KeyFile::new(dir.join(format!("key-{mode:o}")), FileAccess::Private);
        file.create(&Random::system()).expect("created");
        fs::set_permissions(file.path(), fs::Permissions::from_mode(mode)).expect("mode set");
        file
    }

    #[test]
    fn a_new_key_file_is_its_owners_alone_and_reads_back() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = KeyFile::new(dir.path().join("a/b/key"), FileAccess::Private);
        let made = file.create(&Random::system()).expect("created");
        let read = file.read().expect("read");
        assert_eq!(format!("{made:?}"), format!("{read:?}"));
        let mode = |path: &Path| fs::metadata(path).expect("there").mode() & 0o777;
        assert_eq!((mode(file.path()), mode(&dir.path().join("a"))), (0o600, 0o700));
        assert_eq!(fs::read_dir(dir.path().join("a/b")).expect("listed").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_key_file_is_never_overwritten() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = KeyFile::new(dir.path().join("key"), FileAccess::Private);
        fs::write(file.path(), "precious").expect("written");
        assert!(matches!(file.create(&Random::system()), Err(KeyFileError::Exists { .. })));
        assert_eq!(fs::read(file.path()).expect("read"), b"precious");
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_that_others_can_read_or_write_is_refused() {
        let dir = tempfile::tempdir().expect("a directory");
        for mode in [0o640, 0o604, 0o620, 0o602] {
            let error = with_mode(dir.path(), mode).read().expect_err("refused");
            assert!(matches!(error, KeyFileError::TooOpen { mode: m, .. } if m == mode), "{mode:o}");
            assert!(error.hint().is_some_and(|hint| hint.starts_with("chmod 600 ")), "{mode:o}");
        }
        for mode in [0o600, 0o400] {
            assert!(with_mode(dir.path(), mode).read().is_ok(), "{mode:o}");
        }
    }

    #[test]
    fn any_mode_takes_the_file_as_it_is() {
        let dir = tempfile::tempdir().expect("a directory");
        let strict = with_mode(dir.path(), 0o666);
        assert!(KeyFile::new(strict.path(), FileAccess::AnyMode).read().is_ok());
    }

    #[test]
    fn a_bad_line_is_named_and_not_shown() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = with_mode(dir.path(), 0o600);
        fs::write(file.path(), "canary\n").expect("written");
        let error = file.read().expect_err("no key");
        assert!(matches!(error, KeyFileError::Keys { fault: InvalidKeys::Line(1), .. }));
        assert!(!format!("{error} {error:?} {:?}", error.hint()).contains("canary"));
    }

    #[test]
    fn a_key_that_cannot_be_written_says_who_may_write() {
        let error =
            |doing| KeyFileError::File { path: "/data/key".into(), doing, error: ErrorKind::PermissionDenied.into() };
        let hint = error("write the key file").hint().expect("a hint");
        assert!(hint.contains("write in /data;"), "{hint}");
        assert_eq!(error("read the key file").hint(), None);
    }

    #[test]
    fn a_key_that_is_no_credential_of_the_service_says_who_puts_it_there() {
        for kind in [ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem] {
            let path = "/run/credentials/flexslot-proxy.service/key".into();
            let hint =
                KeyFileError::File { path, doing: "write the key file", error: kind.into() }.hint().expect("a hint");
            assert!(hint.contains("service/key does not exist: LoadCredential="), "{hint}");
            assert!(hint.contains("key generate --out FILE") && !hint.contains("write in"), "{hint}");
        }
    }

    #[test]
    fn a_missing_file_is_an_error_that_names_it() {
        let error = KeyFile::new("/nowhere/key", FileAccess::Private).read().expect_err("missing");
        assert!(error.to_string().starts_with("/nowhere/key: cannot read the key file: "));
    }
}
