//! Whether of two processes that want to renew for the same tenant one has to wait.

use std::{
    io,
    process::{Output, Stdio},
    sync::Arc,
    time::Duration,
};

use tokio::{process::Command, time::timeout};

use crate::{
    app::{StartFailure, finding::Finding, storage::Storage},
    cli::{Failure, World},
    config::{Config, ConfigSource, Overrides},
    model::{Random, TenantId, Unobserved, token::Owner},
    store::{StoreError, backend::Bid},
};

/// How long the leases of the lock's check last at most: within one, another process starts and opens the store.
const LEASE: Duration = Duration::from_secs(60);

/// How long a second process may take.
const SECOND: Duration = Duration::from_secs(30);

/// What the second process is told to go by.
pub(super) struct Second<'a> {
    pub(super) source: &'a ConfigSource,
    pub(super) overrides: &'a Overrides,
}

/// Has two bid for the lock of the same name: two owners of this process, or another process where `second` says how it
/// finds the store.
pub(super) async fn excludes(storage: &Storage, second: Option<Second<'_>>, random: &Random) -> Finding {
    // In containers all processes have the same number, and may be checked at the same time.
    let name = format!("check-{:016x}", u64::from_le_bytes(random.bytes()));
    let Ok(tenant) = name.parse::<TenantId>() else {
        return Finding::Bad(StartFailure::new("no name for the lock's check"));
    };
    let outcome = match second {
        Some(second) => second.tries(storage, &tenant).await,
        None => within(storage, &tenant).await,
    };
    match outcome {
        Ok(good) => Finding::Good(good.to_owned()),
        Err(what) => Finding::Bad(StartFailure::new(what)),
    }
}

async fn within(storage: &Storage, tenant: &TenantId) -> Result<&'static str, String> {
    let (first, second) = (owner("first"), owner("second"));
    let bids = (take(storage, tenant, &first).await?, take(storage, tenant, &second).await?);
    storage.store.release(tenant, &first).await.map_err(|error| error.to_string())?;
    match bids {
        (Bid::Won, Bid::Lost { .. }) => Ok("of two processes that want to renew, one waits"),
        (Bid::Late, _) | (_, Bid::Late) => Err(late()),
        _ => Err(lent_twice()),
    }
}

/// Bids for the lock `name` in a process of its own, and prints what came of it.
pub(super) async fn bid(config: &Config, name: &TenantId, world: &mut World<'_>) -> Result<(), Failure> {
    let around = world.surroundings();
    let storage = Storage::look(&config.store, &around, Arc::new(Unobserved)).await?;
    let storage = storage.ok_or_else(|| Failure::new("the store does not exist yet"))?;
    let own = owner("another process");
    let came = match take(&storage, name, &own).await.map_err(Failure::new)? {
        Bid::Won => {
            storage.store.release(name, &own).await?;
            WON
        }
        Bid::Lost { .. } => LOST,
        Bid::Late => LATE,
    };
    world.console.data_line(came)
}

/// What the second process prints.
const WON: &str = "won";
const LOST: &str = "lost";
const LATE: &str = "late";

async fn take(storage: &Storage, tenant: &TenantId, owner: &Owner) -> Result<Bid, String> {
    let bid = async {
        let by = storage.store.now().await?.plus(LEASE);
        storage.store.bid(tenant, owner, LEASE, by).await
    };
    bid.await.map_err(|error: StoreError| error.to_string())
}

fn owner(instance: &str) -> Owner {
    Owner { host: "check".to_owned(), instance: instance.to_owned() }
}

fn late() -> String {
    format!("the store takes longer than {LEASE:?} to lend a lease")
}

fn lent_twice() -> String {
    "the store lends the same lease twice".to_owned()
}

// === impl Second ===

impl Second<'_> {
    /// Has another process bid while this one has the lease, and after.
    async fn tries(&self, storage: &Storage, tenant: &TenantId) -> Result<&'static str, String> {
        let own = owner("first");
        match take(storage, tenant, &own).await? {
            Bid::Won => {}
            Bid::Lost { .. } => return Err(lent_twice()),
            Bid::Late => return Err(late()),
        }
        let meanwhile = self.bids(tenant).await;
        storage.store.release(tenant, &own).await.map_err(|error| error.to_string())?;
        let after = self.bids(tenant).await?;
        match (meanwhile?.as_str(), after.as_str()) {
            (LOST, WON) => Ok("a second process waits while this one renews, and has its turn afterwards"),
            (LATE, _) | (_, LATE) => Err(late()),
            (LOST, _) => Err("a second process did not get the lease after this one gave it back".to_owned()),
            _ => Err("a second process was lent the lease that this one has; do both mean the same store?".to_owned()),
        }
    }

    /// What another process says of its bid.
    async fn bids(&self, tenant: &TenantId) -> Result<String, String> {
        let failed = |error: io::Error| format!("no second process could be run: {error}");
        let mut command = self.command(tenant).map_err(failed)?;
        let ran = timeout(SECOND, command.output()).await;
        let ran = ran.map_err(|_| format!("a second process did not end within {SECOND:?}"))?;
        let Output { status, stdout, stderr } = ran.map_err(failed)?;
        if status.success() {
            return Ok(String::from_utf8_lossy(&stdout).trim_end().to_owned());
        }
        let told = String::from_utf8_lossy(&stderr);
        Err(format!("a second process cannot use the store: {}", told.lines().next().unwrap_or("it says nothing")))
    }

    /// This program, told what this process was told.
    fn command(&self, tenant: &TenantId) -> io::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command.stdin(Stdio::null()).kill_on_drop(true);
        command.args(["check", "--bid", tenant.as_str()]);
        if let Some(path) = self.source.path() {
            command.arg("--config").arg(path);
        }
        let Overrides { listen, admin_listen, upstream, store, .. } = self.overrides;
        let given =
            [("--listen", listen), ("--admin-listen", admin_listen), ("--upstream", upstream), ("--store", store)];
        for (flag, value) in given {
            command.args(value.iter().flat_map(|value| [flag, value]));
        }
        Ok(command)
    }
}
