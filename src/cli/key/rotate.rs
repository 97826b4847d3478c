//! `key rotate`

use std::{fmt, sync::Arc};

use tokio::time::{Instant, sleep_until};

use super::keeper::{Keeper, Keys};
use crate::{
    app::{Surroundings, storage::Storage},
    cli::{
        Failure, GlobalArgs, StoreOverrides, World,
        progress::{Progress, counted},
        store,
    },
    config::StoreConfig,
    model::Unobserved,
    store::{Survey, key::SETTLED, seal::KeyId},
};

/// Seal everything stored with a new encryption key, while sidecars go on working
///
/// Puts a new key in front of the one in the key file (or in the desktop's keyring), seals every
/// record with it, makes sure that nothing is sealed with the old key any more, and takes that out
/// of there. Killed at any moment, it goes on where it was when it is run again. Running sidecars
/// take the new key over by themselves. Keep the old key with the backups that were made before.
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
    /// Leave the old key where it is, behind the new one
    #[arg(long)]
    keep_old: bool,
    #[command(flatten)]
    overrides: StoreOverrides,
}

/// A rotation under way.
struct Rotation {
    keeper: Keeper,
    storage: Storage,
    first: KeyId,
    old: Vec<KeyId>,
    resealed: u64,
}

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
        let opening = Storage::open(&config.store, &around, Arc::new(Unobserved));
        let storage = store::patiently(&config.store, opening, |what| world.console.tell(what)).await?;
        let ring = match &mut keeper {
            Keeper::Operator(_) => None,
            Keeper::Us(held) => Some(match held.keys()? {
                keys if keys.others().is_empty() => held.put_new(world)?,
                keys => {
                    let first = keys.first();
                    world.console.tell(format_args!("Going on with the key {first}, the first in {}.", held.place()));
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
            Keeper::Us(held) => held.remove(&self.old, world)?,
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
