//! The key that a store is sealed with, out of the place where the configuration says that it is.

use std::{io, path::Path};

use tokio::task::spawn_blocking;

use crate::{
    app::{StartFailure, Surroundings},
    config::{self, Engine, KeyLocation, KeyringItem, SecretSource, StoreKey},
    model::{Random, Secret},
    store::{
        KeyFileError,
        keyfile::KeyFile,
        keyring::{Keyring, KeyringError, Made},
        seal::{KeyRing, KeySource, Sealer},
    },
};

/// A place of keys that this program itself can write.
#[derive(Debug, Clone)]
pub enum KeyHolder {
    File(KeyFile),
    Keyring(Keyring),
}

/// What a keyring is asked for.
#[derive(Debug, Clone)]
pub enum KeyringWish {
    /// The keys, if there are any.
    Read,
    /// The same for a process that has keys: it does not wait for long, and what goes wrong is in the log.
    ReadInPassing,
    /// The keys, and a new one where there is none.
    Make(Random),
}

/// The sealer of the engine's store, and where its key is if it was made just now.
pub(super) async fn seal(engine: &Engine, around: &Surroundings) -> Result<(Sealer, Option<KeyHolder>), StartFailure> {
    let (key, database) = match engine {
        Engine::Memory => {
            return Ok((Sealer::new(KeyRing::ephemeral(&around.random), around.random.clone()), None));
        }
        Engine::Sqlite { path, key } => (key, Some(path.clone())),
        Engine::Server { key, .. } => (key, None),
    };
    match &key.location {
        KeyLocation::Secret(source) => of_secret(database.as_deref(), key, source, around),
        KeyLocation::Keyring(item) => of_keyring(database.as_deref(), keyring(item), around).await,
    }
}

/// The key was found when the configuration was read, or there is none. `database`: of a store in a file.
fn of_secret(
    database: Option<&Path>,
    key: &StoreKey,
    source: &SecretSource,
    around: &Surroundings,
) -> Result<(Sealer, Option<KeyHolder>), StartFailure> {
    let file = key_file(source);
    let mut new_key = None;
    // Looked at first: whoever has made it since has made the key before.
    let is_new = database.is_some_and(|database| !database.exists());
    let ring = match (&key.text, &file, database) {
        (Some(text), ..) => parse(text, source)?,
        // Another process has begun with the same store a moment ago.
        (None, Some(file), Some(_)) if file.path().exists() => file.read()?,
        (None, Some(file), Some(_)) if is_new => match file.create(&around.random) {
            // Or at the same moment.
            Err(KeyFileError::Exists { .. }) => file.read()?,
            made => {
                let ring = made?;
                new_key = Some(KeyHolder::File(file.clone()));
                ring
            }
        },
        (None, _, Some(database)) => return Err(lost(database, source)),
        (None, _, None) => {
            return Err(StartFailure::new(format!("the encryption key ({source}) does not exist")));
        }
    };
    let sealer = match file {
        Some(file) => Sealer::with_source(ring, file, around.random.clone()),
        None => Sealer::new(ring, around.random.clone()),
    };
    Ok((sealer, new_key))
}

/// The same for a key in the desktop's keyring, which is asked now.
async fn of_keyring(
    database: Option<&Path>,
    keyring: Keyring,
    around: &Surroundings,
) -> Result<(Sealer, Option<KeyHolder>), StartFailure> {
    // Looked at first: whoever has made it since has made the key before.
    let is_new = database.is_some_and(|database| !database.exists());
    let wish = if is_new { KeyringWish::Make(around.random.clone()) } else { KeyringWish::Read };
    let (ring, new_key) = match (ask(&keyring, wish).await?, database) {
        (Some(Made::Found(ring)), _) => (ring, None),
        (Some(Made::New(ring)), _) => (ring, Some(KeyHolder::Keyring(keyring.clone()))),
        (None, Some(database)) => {
            let failure = KeyringError::Missing(keyring.item().clone());
            let what = format!("{failure}, but the store {} exists", database.display());
            return Err(StartFailure { what, hint: failure.hint() });
        }
        (None, None) => {
            let failure = KeyringError::Missing(keyring.item().clone());
            let what = format!("{failure}, and every sidecar on this store needs the same key");
            return Err(StartFailure::new(what).hint(format!(
                "make one with: flexslot-proxy key generate --keyring {}; where another host has it, put the same there",
                keyring.name()
            )));
        }
    };
    Ok((Sealer::with_source(ring, keyring, around.random.clone()), new_key))
}

/// Asks the keyring, which may take as long as somebody takes to type a password.
pub async fn ask(keyring: &Keyring, wish: KeyringWish) -> Result<Option<Made>, KeyringError> {
    let keyring = keyring.clone();
    let asking = spawn_blocking(move || match wish {
        KeyringWish::Read => Ok(keyring.read()?.map(Made::Found)),
        KeyringWish::ReadInPassing => Ok(keyring.reread().map(Made::Found)),
        KeyringWish::Make(random) => match keyring.read()? {
            Some(ring) => Ok(Some(Made::Found(ring))),
            None => keyring.create(&random).map(Some),
        },
    });
    asking.await.unwrap_or_else(|_| Err(KeyringError::NotStarted(io::ErrorKind::Interrupted.into())))
}

/// There is a store, and not its key.
fn lost(database: &Path, source: &SecretSource) -> StartFailure {
    let database = database.display();
    StartFailure::new(format!("the encryption key ({source}) does not exist, but the store {database} does"))
        .hint("put back the key that the store was made with; without it the stored credentials cannot be opened")
}

/// The keys of a configuration that was read again; `None` where there are none to take over. A keyring that does not
/// give them just then has logged it.
pub(in crate::app) async fn keys(store: &config::Store) -> Result<Option<KeyRing>, StartFailure> {
    let Some(key) = store.engine.key() else { return Ok(None) };
    match &key.location {
        KeyLocation::Secret(source) => key.text.as_ref().map(|text| parse(text, source)).transpose(),
        KeyLocation::Keyring(item) => {
            let read = ask(&keyring(item), KeyringWish::ReadInPassing).await?;
            Ok(read.map(|(Made::New(ring) | Made::Found(ring))| ring))
        }
    }
}

fn parse(text: &Secret, source: &SecretSource) -> Result<KeyRing, StartFailure> {
    KeyRing::parse(text).map_err(|error| {
        StartFailure::new(format!("store.encryption_key: {source}: {error}"))
            .hint("a key is 32 bytes in base64, one per line: flexslot-proxy key generate")
    })
}

/// Where the key is kept, if this program can write there; `None` for one that comes from the environment.
pub fn key_holder(location: &KeyLocation) -> Option<KeyHolder> {
    match location {
        KeyLocation::Secret(source) => key_file(source).map(KeyHolder::File),
        KeyLocation::Keyring(item) => Some(KeyHolder::Keyring(keyring(item))),
    }
}

fn key_file(source: &SecretSource) -> Option<KeyFile> {
    match source {
        SecretSource::Env { .. } => None,
        SecretSource::File { path, access } => Some(KeyFile::new(path, *access)),
    }
}

/// The item as it can be read and written.
pub fn keyring(item: &KeyringItem) -> Keyring {
    Keyring::new(item.name.clone(), item.session.clone(), item.lock_dir.clone())
}

#[cfg(test)]
mod tests {
    use std::{fs, sync::Arc};

    use super::{of_secret, parse};
    use crate::{
        app::Surroundings,
        config::{KeyLocation, SecretSource, StoreKey},
        model::{FileAccess, Random, Secret, SystemClock},
        store::seal::Sealer,
    };

    /// The configuration was read before another process had made both.
    #[test]
    fn a_key_that_was_made_meanwhile_is_taken_and_one_that_is_gone_is_not_made_anew() {
        let dir = tempfile::tempdir().unwrap();
        let (database, path) = (dir.path().join("store.db"), dir.path().join("key"));
        let around = Surroundings { clock: Arc::new(SystemClock), random: Random::system() };
        let source = SecretSource::File { path: path.clone(), access: FileAccess::Private };
        let key = StoreKey { location: KeyLocation::Secret(source.clone()), text: None };
        fs::write(&database, "").unwrap();
        let failure = of_secret(Some(&database), &key, &source, &around).unwrap_err();
        assert!(failure.what.contains("does not exist, but the store") && !path.exists(), "{failure}");

        let line = Sealer::generate_key_line(&around.random);
        crate::store::files::create_whole(&path, line.expose().as_bytes(), &around.random).unwrap();
        let (sealer, made) = of_secret(Some(&database), &key, &source, &around).unwrap();
        let expected = parse(&Secret::new(line.expose()), &source).unwrap().first();
        assert!(sealer.sealing_key() == expected && made.is_none());
    }
}
