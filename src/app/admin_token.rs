//! The token of the admin listener: the configuration's, or else one of the sidecar's own.

use std::{
    io,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::{StartFailure, Surroundings};
use crate::{
    config::{Config, SecretSource, SystemEnvironment, secret::Unreadable},
    model::{FileAccess, Random, Secret},
    store::files,
};

/// Where the sidecar's own token is kept: a file of the state directory, or memory alone where there is none.
#[derive(Debug)]
pub struct OwnToken {
    state_dir: Option<PathBuf>,
    random: Random,
    /// What was read or made, so that it stays the same until the process ends.
    known: OnceLock<Secret>,
}

const FILE: &str = "admin-token";

/// The token by which a command reaches the sidecar of this configuration; `None` where none has been made.
pub fn find(config: &Config) -> Result<Option<Secret>, StartFailure> {
    match (&config.admin.token, &config.store.state_dir) {
        (Some(configured), _) => Ok(Some(configured.secret.clone())),
        (None, Some(dir)) => read(&dir.join(FILE)),
        (None, None) => Ok(None),
    }
}

// === impl OwnToken ===

impl OwnToken {
    /// Nothing is read or made yet.
    pub fn new(state_dir: Option<PathBuf>, around: &Surroundings) -> Self {
        Self { state_dir, random: around.random.clone(), known: OnceLock::new() }
    }

    /// The token that callers have to present.
    pub fn or_configured(&self, config: &Config) -> Result<Secret, StartFailure> {
        match &config.admin.token {
            Some(configured) => Ok(configured.secret.clone()),
            None => self.own(),
        }
    }

    fn own(&self) -> Result<Secret, StartFailure> {
        if let Some(known) = self.known.get() {
            return Ok(known.clone());
        }
        let token = match &self.state_dir {
            Some(dir) => read_or_make(&dir.join(FILE), &self.random)?,
            None => generate(&self.random),
        };
        Ok(self.known.get_or_init(|| token).clone())
    }
}

/// Of two processes that make it at the same moment, one does, and both go by that.
fn read_or_make(path: &Path, random: &Random) -> Result<Secret, StartFailure> {
    if let Some(token) = read(path)? {
        return Ok(token);
    }
    let token = generate(random);
    match files::create_whole(path, format!("{}\n", token.expose()).as_bytes(), random) {
        Ok(()) => {
            tracing::info!(file = %path.display(), "an admin token was made");
            Ok(token)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let made = read(path)?;
            made.ok_or_else(|| StartFailure::new(format!("{} comes and goes", path.display())))
        }
        Err(error) => {
            let failure = StartFailure::new(format!("{}: cannot write the admin token: {error}", path.display()));
            Err(failure.hint("let this user write there, or set admin.token"))
        }
    }
}

fn read(path: &Path) -> Result<Option<Secret>, StartFailure> {
    let source = SecretSource::File { path: path.to_owned(), access: FileAccess::Private };
    let refused = |what: String, hint: Option<String>| {
        let failure = StartFailure::new(what);
        Err(match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        })
    };
    match source.read(&SystemEnvironment) {
        Ok(token) if token.is_header_safe() => Ok(Some(token)),
        Ok(_) => refused(
            format!("{} holds characters that no token has", path.display()),
            Some("remove it, and the next start makes a new one".to_owned()),
        ),
        Err(Unreadable::Missing { .. }) => Ok(None),
        Err(unreadable) => {
            let hint = match &unreadable {
                Unreadable::TooOpen { to_others, .. } => {
                    Some(format!("chmod {} {}", to_others.mended_by(), path.display()))
                }
                Unreadable::Empty { .. } => Some("remove it, and the next start makes a new one".to_owned()),
                _ => None,
            };
            refused(unreadable.to_string(), hint)
        }
    }
}

/// 32 random bytes in base64url.
fn generate(random: &Random) -> Secret {
    Secret::new(URL_SAFE_NO_PAD.encode(random.bytes::<32>()))
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt, PermissionsExt},
        path::Path,
    };

    use super::{FILE, OwnToken, read_or_make};
    use crate::{app::Surroundings, model::Random};

    fn own(dir: &Path) -> OwnToken {
        OwnToken::new(Some(dir.to_owned()), &Surroundings::system())
    }

    #[test]
    fn a_token_is_made_once_and_is_its_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let state_dir = dir.path().join("state");
        let token = own(&state_dir).own().unwrap();
        assert_eq!(token.expose().len(), 43);
        assert_eq!(own(&state_dir).own().unwrap(), token, "another process, or the next start");
        assert_eq!(fs::metadata(state_dir.join(FILE)).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(&state_dir).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn many_processes_at_once_agree_on_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE);
        let made = std::thread::scope(|scope| {
            let make = || read_or_make(&path, &Random::system()).unwrap().expose().to_owned();
            let threads: Vec<_> = (0..16).map(|_| scope.spawn(make)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
        });
        assert!(made.iter().all(|token| *token == made[0]), "{made:?}");
    }

    #[test]
    fn a_token_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        own(dir.path()).own().unwrap();
        let path = dir.path().join(FILE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let failure = own(dir.path()).own().unwrap_err();
        assert_eq!(failure.hint.as_deref(), Some(format!("chmod 600 {}", path.display()).as_str()));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&path, "canary canary").unwrap();
        let failure = own(dir.path()).own().unwrap_err();
        assert!(!failure.to_string().contains("canary "), "{failure}");
    }

    #[test]
    fn without_a_state_directory_it_lives_as_long_as_the_process() {
        let own = OwnToken::new(None, &Surroundings::system());
        assert_eq!(own.own().unwrap(), own.own().unwrap());
    }
}
