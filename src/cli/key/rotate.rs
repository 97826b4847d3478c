//! `key rotate`

use std::{fmt, sync::Arc};

use tokio::time::{Instant, sleep_until};

use crate::{
    app::{
        Surroundings,
        storage::{Storage, key_file},
    },
    cli::{
        Failure, GlobalArgs, StoreOverrides, World,
        progress::{Progress, counted},
        store,
    },
    config::{SecretSource, StoreConfig},
    model::Unobserved,
    store::{
        Survey,
        key::SETTLED,
        keyfile::HeldKeyFile,
        seal::{KeyId, KeyRing, Sealer},
    },
};

/// Seal everything stored with a new encryption key, while sidecars go on working
///
/// Puts a new key in front of the one in the key file, seals every record with it, makes sure that
/// nothing is sealed with the old key any more, and takes that out of the file. Killed at any
/// moment, it goes on where it was when it is run again. Running sidecars take the new key over by
/// themselves. Keep the old key with the backups that were made before.
///
/// Where the key file cannot be written, or the key comes from a variable, or other hosts have key
/// files of their own, put the new key there first: as the last line everywhere, then as the first
/// line everywhere. The command then seals with the first key and says when the others can go:
///
///     flexslot-proxy key generate
///     flexslot-proxy key rotate
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct RotateArgs {
    /// Leave the old key in the file, behind the new one
    #[arg(long)]
    keep_old: bool,
    #[command(flatten)]
    overrides: StoreOverrides,
}

/// Who takes keys into and out of the place where they are kept.
enum Keeper {
    /// This command, in a file that it holds.
    Us(HeldKeyFile),
    /// The operator, because of this.
    Operator(String),
}

/// A rotation under way.
struct Rotation {
    keeper: Keeper,
    storage: Storage,
    first: KeyId,
    old: Vec<KeyId>,
    resealed: u64,
}

/// `key 1f2e…`, `keys 1f2e…, 3d4c…`
struct Keys<'a>(&'a [KeyId]);

/// How often all records are gone through once every process should have followed, before it counts as certain that
/// somebody goes on sealing with an old key.
const ROUNDS: usize = 5;

// === impl RotateArgs ===

impl RotateArgs {
    pub(super) async fn run(self, global: &GlobalArgs, world: &mut World<'_>) -> Result<(), Failure> {
        let config = StoreConfig::load(&global.source(world.environment), &self.overrides.into(), world.environment)?;
        store::require_durable(&config.store)?;
        if !store::exists(&config.store) {
            return Err(Failure::new("there is no store yet").hint("serve makes it, with a new key"));
        }
        let mut rotation = Rotation::begin(&config, world).await?;
        let survey = rotation.run(world).await?;
        rotation.judge(&survey, world)?;
        rotation.end(self.keep_old, &survey, world)
    }
}

// === impl Rotation ===

impl Rotation {
    /// Opens the store with the keys as they are, and only then puts a new one in front.
    async fn begin(config: &StoreConfig, world: &mut World<'_>) -> Result<Self, Failure> {
        let around = Surroundings { clock: Arc::clone(&world.clock), random: world.random.clone() };
        let mut keeper = Keeper::of(config)?;
        let storage = Storage::open(&config.store, &around, Arc::new(Unobserved)).await?;
        let ring = match &mut keeper {
            Keeper::Operator(_) => None,
            Keeper::Us(file) => Some(match file.keys()? {
                keys if keys.others().is_empty() => put_new_key(file, world)?,
                keys => {
                    world.console.tell(format_args!("Going on with the key {}, the first in the file.", keys.first()));
                    keys
                }
            }),
        };
        if let Some(ring) = ring {
            storage.sealer.replace(ring);
        }
        let keys = storage.sealer.keys();
        let (first, old) = (keys.first(), keys.others());
        if let (Keeper::Operator(why), true) = (&keeper, old.is_empty()) {
            return Err(Failure::new(format!("there is one key only, {first}, and {why}")).hint(
                "make one with key generate and add it there: as the last line everywhere, then as the first line everywhere; then run this again",
            ));
        }
        Ok(Self { keeper, storage, first, old, resealed: 0 })
    }

    /// Seals everything; then, when every running process has followed, what they have written meanwhile. Answers what
    /// a last look has found.
    async fn run(&mut self, world: &mut World<'_>) -> Result<Survey, Failure> {
        let store = &self.storage.store;
        self.resealed += store.take_first_key().await?;
        let settled = Instant::now() + SETTLED;
        let mut survey = store.survey().await?;
        let mut progress = Progress::new(&world.console, "records", survey.others_than(self.first));
        self.resealed += store.reseal(|done| progress.advance(done, &mut world.console)).await?;
        progress.end(&mut world.console);
        self.resealed += reseal_spool(&self.storage, world).await?;
        world.console.tell(format_args!(
            "Waiting until {} s have passed, in which every running process takes the key over.",
            SETTLED.as_secs()
        ));
        sleep_until(settled).await;
        for _ in 0..ROUNDS {
            // What was written meanwhile.
            self.resealed += store.reseal(|_| ()).await?;
            self.resealed += reseal_spool(&self.storage, world).await?;
            survey = store.survey().await?;
            if survey.others_than(self.first) == 0 {
                break;
            }
        }
        Ok(survey)
    }

    /// Whether every record and every spooled pair opens with the first key.
    fn judge(&self, survey: &Survey, world: &mut World<'_>) -> Result<(), Failure> {
        survey.named.iter().for_each(|error| world.console.tell(error));
        if survey.unreadable > 0 {
            let more = survey.unreadable.saturating_sub(survey.named.len() as u64);
            if more > 0 {
                world.console.tell(format_args!("and {more} more"));
            }
            let records = counted(survey.unreadable, "record");
            return Err(Failure::new(format!("{records} cannot be read; the rest is sealed with the key {}, and no key was removed", self.first))
                .hint("put the key that is missing into store.encryption_key, behind the first, or forget the tenant with tenant remove; then run this again"));
        }
        match survey.others_than(self.first) {
            0 => Ok(()),
            left => Err(Failure::new(format!("{} came back sealed with another key; no key was removed", counted(left, "record")))
                .hint(format!("a process on this store does not have the key {} in front: see to its store.encryption_key, then run this again", self.first))),
        }
    }

    /// Takes the old keys out of the file, where that is ours to do.
    fn end(mut self, keep_old: bool, survey: &Survey, world: &mut World<'_>) -> Result<(), Failure> {
        let (first, sealed) = (self.first, survey.of(self.first));
        world.console.tell(format_args!(
            "{} sealed anew; all {} that hold a secret open with the key {first}.",
            counted(self.resealed, "record"),
            counted(sealed, "record")
        ));
        let old = Keys(&self.old);
        if self.old.is_empty() {
            return Ok(());
        }
        match &mut self.keeper {
            Keeper::Us(_) if keep_old => world.console.tell(format_args!("Kept the old {old}, as asked.")),
            Keeper::Us(file) => match file.remove(&self.old) {
                Ok(_) => world.console.tell(format_args!(
                    "Removed the old {old} from the key file. Back the file up now, and keep the old key with the backups of the store made before."
                )),
                Err(error) if error.is_read_only() => {
                    world.console.tell(format_args!("{error}.\nNothing needs the old {old} any more: remove it there."));
                }
                Err(error) => return Err(error.into()),
            },
            Keeper::Operator(_) => world.console.tell(format_args!(
                "Nothing needs the old {old} any more. When every process has the new key in front, remove the old one everywhere."
            )),
        }
        Ok(())
    }
}

/// Seals what lies in the spool.
async fn reseal_spool(storage: &Storage, world: &mut World<'_>) -> Result<u64, Failure> {
    let Some(spool) = &storage.spool else { return Ok(0) };
    let failed = |error: &dyn fmt::Display| Failure::new(format!("{error}; no key was removed"));
    let resealed = spool.reseal().await.map_err(|error| failed(&error))?;
    match resealed.unreadable.first() {
        None => Ok(resealed.pairs),
        Some((path, error)) => {
            world.console.tell(format_args!("{}: {error}", path.display()));
            Err(failed(&format!("{} in the spool cannot be read", counted(resealed.unreadable.len() as u64, "pair")))
                .hint("put the key that is missing into store.encryption_key, behind the first; then run this again"))
        }
    }
}

fn put_new_key(file: &mut HeldKeyFile, world: &mut World<'_>) -> Result<KeyRing, Failure> {
    let line = Sealer::generate_key_line(&world.random);
    let ring = file.put_first(&line).map_err(|error| {
        let read_only = error.is_read_only();
        let failure = Failure::from(error);
        match read_only {
            true => failure.hint(
                "put a new key, from key generate, where the file comes from: as the last line everywhere, then as the first line everywhere; then run this again",
            ),
            false => failure,
        }
    })?;
    world.console.tell(format_args!("The new key {} is in the key file, in front.", ring.first()));
    Ok(ring)
}

// === impl Keeper ===

impl Keeper {
    fn of(config: &StoreConfig) -> Result<Self, Failure> {
        let source = config.store.key_source().ok_or_else(|| Failure::new("this store has no key"))?;
        if !config.store.stays_on_this_host() {
            return Ok(Self::Operator("other hosts may have key files of their own".to_owned()));
        }
        match (key_file(source), source) {
            (None, SecretSource::Env { name }) => Ok(Self::Operator(format!("it comes from the variable {name}"))),
            (None, SecretSource::File { .. }) => Err(Failure::new("this store has no key file")),
            (Some(file), _) => Ok(Self::Us(file.hold()?)),
        }
    }
}

// === impl Keys ===

impl fmt::Display for Keys<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.0.iter().map(KeyId::to_string).collect();
        write!(f, "key{} {}", if ids.len() == 1 { "" } else { "s" }, ids.join(", "))
    }
}
