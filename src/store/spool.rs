//! Pairs that Flexslot has given out and the store would not take: sealed files in `state_dir/spool`, until it does.
//!
//! A file is named by grant and version and holds what [`record`] makes of tenant, intent and pair. A pair here is the
//! only copy of a refresh token that outlives the process, so nothing is ever deleted but what the store has taken or
//! moved past. One that was written and not put in place, because its process died in between, counts as well: it opens
//! only if it is whole.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
};

use super::{
    Cas, Settlement, StoreError, TokenStore,
    files::{STAGED, Staged, beside, create_private_dir, write_atomically},
    record::{self, Fault, What},
    seal::{SealFault, Sealer},
};
use crate::model::{
    Grant, GrantId, TenantId,
    failpoint::{Step, reach},
    token::Intent,
};

const ENDING: &str = ".pair";

/// The spool of one `state_dir`. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Spool {
    dir: PathBuf,
    sealer: Sealer,
    /// Tests that play with the order of things cannot have threads of the runtime's choice in them.
    #[cfg(test)]
    on_this_thread: bool,
}

/// What became of the pairs in the spool.
#[derive(Debug, Default)]
pub struct Drained {
    /// Whose pairs the store has taken.
    pub stored: Vec<TenantId>,
    /// Whose pairs were deleted because the store had moved on: another grant, a later version, a disconnect, a
    /// removal.
    pub dropped: Vec<TenantId>,
    /// Files that stay, and why: the store is unavailable, the key that sealed them is not among ours, or they cannot
    /// be read or deleted.
    pub waiting: Vec<(PathBuf, SpoolError)>,
}

/// What [`Spool::reseal`] came to.
#[derive(Debug, Default)]
pub struct Resealed {
    /// How many pairs were sealed anew.
    pub pairs: u64,
    /// Files that stay as they are, and why.
    pub unreadable: Vec<(PathBuf, SpoolError)>,
}

/// Why the spool could not do something.
#[derive(Debug)]
pub enum SpoolError {
    /// A file or directory cannot be used.
    File { path: PathBuf, error: io::Error },
    /// The store did not take a pair.
    Store(StoreError),
    /// A pair is sealed with a key that is not among ours.
    Key(SealFault),
    /// A pair does not open. Names the field.
    Pair(String),
}

// === impl Spool ===

impl Spool {
    /// The spool in `state_dir`. Its directory comes with the first pair.
    pub fn new(state_dir: &Path, sealer: Sealer) -> Self {
        Self {
            dir: state_dir.join("spool"),
            sealer,
            #[cfg(test)]
            on_this_thread: false,
        }
    }

    /// The same, with its disk work done where it is asked for.
    #[cfg(test)]
    pub(crate) fn on_this_thread(self) -> Self {
        Self { on_this_thread: true, ..self }
    }

    /// Keeps `grant`, with which Flexslot answered the request of `intent`. On the disk when this returns.
    pub async fn put(&self, tenant: &TenantId, intent: &Intent, grant: &Grant) -> Result<(), SpoolError> {
        let bytes = record::spooled(&self.sealer, tenant, intent, grant);
        let path = self.path_of(grant);
        self.on_disk(move |spool| {
            create_private_dir(&spool.dir).map_err(file_error(&spool.dir))?;
            let staged = Staged::write(&path, &bytes).map_err(file_error(&path))?;
            reach(Step::PairStaged);
            staged.put_in_place().map_err(file_error(&path))?;
            reach(Step::PairSpooled);
            Ok(())
        })
        .await
    }

    /// Forgets the pair of `grant`, which is void.
    pub async fn forget(&self, grant: &Grant) -> Result<(), SpoolError> {
        self.delete(&self.path_of(grant)).await
    }

    /// Hands every pair to `store`. With the store out of reach the rest is left for another time. A file that is no
    /// pair of ours is set aside under a name that ends in `.damaged`.
    pub async fn drain(&self, store: &TokenStore) -> Result<Drained, SpoolError> {
        let mut drained = Drained::default();
        for path in self.on_disk(Self::files).await? {
            match self.hand_over(&path, store).await {
                Ok(None) => {}
                Ok(Some((tenant, Cas::Stored))) => drained.stored.push(tenant),
                Ok(Some((tenant, Cas::Moved))) => drained.dropped.push(tenant),
                Err(error) => {
                    let out_of_reach = matches!(error, SpoolError::Store(StoreError::Unavailable(_)));
                    drained.waiting.push((path, error));
                    if out_of_reach {
                        break;
                    }
                }
            }
        }
        Ok(drained)
    }

    /// Seals every pair with our first key that is sealed with another. A pair that the store takes meanwhile may come
    /// back as a file, of which the store will then find that it has moved on.
    pub async fn reseal(&self) -> Result<Resealed, SpoolError> {
        self.on_disk(|spool| {
            let mut resealed = Resealed::default();
            for path in spool.files()? {
                let bytes = match fs::read(&path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    bytes => bytes.map_err(file_error(&path))?,
                };
                match record::resealed_spooled(&spool.sealer, &bytes) {
                    Ok(None) => {}
                    Ok(Some(bytes)) => {
                        write_atomically(&path, &bytes).map_err(file_error(&path))?;
                        resealed.pairs += 1;
                    }
                    Err(_) if is_staged(&path) => {}
                    Err(fault) => resealed.unreadable.push((path, SpoolError::Pair(fault.to_string()))),
                }
            }
            Ok(resealed)
        })
        .await
    }

    /// Hands the pair in one file to `store` and deletes the file. `None` where there is no pair in it, or no file any
    /// more; `Err` where it stays.
    async fn hand_over(&self, path: &Path, store: &TokenStore) -> Result<Option<(TenantId, Cas)>, SpoolError> {
        let from = path.to_owned();
        let bytes = match self.on_disk(move |_| fs::read(&from).map_err(file_error(&from))).await {
            // Another process drains this spool too, and was faster.
            Err(SpoolError::File { error, .. }) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let (tenant, intent, grant) = match record::read_spooled(&self.sealer, &bytes) {
            Ok(pair) => pair,
            Err(Fault { what: What::Sealed(fault @ SealFault::UnknownKey(_)), .. }) => {
                return Err(SpoolError::Key(fault));
            }
            // It is being written, or never was to the end.
            Err(_) if is_staged(path) => return Ok(None),
            Err(fault) => return self.set_aside(path, &fault).await.map(|()| None),
        };
        reach(Step::SpoolRead);
        let settled = store.settle(&tenant, &intent, Settlement::Renewed(grant)).await.map_err(SpoolError::Store)?;
        reach(Step::SpoolTaken);
        self.delete(path).await?;
        Ok(Some((tenant, settled)))
    }

    fn path_of(&self, grant: &Grant) -> PathBuf {
        self.dir.join(format!("{}-{}{ENDING}", grant.id, grant.version))
    }

    async fn set_aside(&self, path: &Path, fault: &Fault) -> Result<(), SpoolError> {
        let (path, aside) = (path.to_owned(), beside(path, ".damaged"));
        tracing::error!(file = %aside.display(), %fault, "a spooled token pair is damaged and was set aside");
        self.on_disk(move |_| fs::rename(&path, &aside).map_err(file_error(&path))).await
    }

    async fn delete(&self, path: &Path) -> Result<(), SpoolError> {
        let path = path.to_owned();
        self.on_disk(move |_| match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(file_error(&path)(error)),
            _ => Ok(()),
        })
        .await
    }

    /// The files of pairs, in place or staged, in the order of their names.
    fn files(&self) -> Result<Vec<PathBuf>, SpoolError> {
        let entries = match fs::read_dir(&self.dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(file_error(&self.dir))?,
        };
        let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>();
        let mut paths = paths.map_err(file_error(&self.dir))?;
        paths.retain(|path| {
            let name = path.as_os_str().as_encoded_bytes();
            name.strip_suffix(STAGED.as_bytes()).unwrap_or(name).ends_with(ENDING.as_bytes())
        });
        paths.sort();
        Ok(paths)
    }

    /// Disks are slow when it matters; the runtime's threads do not wait for them.
    async fn on_disk<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> Result<T, SpoolError> + Send + 'static,
    ) -> Result<T, SpoolError> {
        let spool = self.clone();
        #[cfg(test)]
        if spool.on_this_thread {
            return work(&spool);
        }
        let done = tokio::task::spawn_blocking(move || work(&spool)).await;
        done.unwrap_or_else(|error| Err(SpoolError::File { path: self.dir.clone(), error: error.into() }))
    }
}

fn is_staged(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(STAGED.as_bytes())
}

fn file_error(path: &Path) -> impl FnOnce(io::Error) -> SpoolError + use<> {
    let path = path.to_owned();
    move |error| SpoolError::File { path, error }
}

// === impl Drained ===

impl Drained {
    /// Whether a pair of `grant` may be among what stays in the spool.
    pub fn may_hold_back(&self, grant: GrantId) -> bool {
        let prefix = format!("{grant}-");
        self.waiting.iter().any(|(path, error)| {
            let name = path.file_name().unwrap_or_default().as_encoded_bytes();
            // With the store out of reach the rest of the files was not even looked at.
            name.starts_with(prefix.as_bytes()) || matches!(error, SpoolError::Store(StoreError::Unavailable(_)))
        })
    }
}

// === impl SpoolError ===

impl fmt::Display for SpoolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, error } => write!(f, "the spool's {} cannot be used: {error}", path.display()),
            Self::Store(error) => error.fmt(f),
            Self::Key(fault) => write!(f, "a spooled token pair is {fault}"),
            Self::Pair(fault) => write!(f, "a spooled token pair is unreadable: {fault}"),
        }
    }
}

impl std::error::Error for SpoolError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::File { error, .. } => Some(error),
            Self::Store(error) => Some(error),
            Self::Key(fault) => Some(fault),
            Self::Pair(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
