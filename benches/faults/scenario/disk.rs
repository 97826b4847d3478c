//! Disks that are full: the store's, and the log's.

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::{task::JoinSet, time::sleep};

use super::{Row, Stage, VICTIM, furnished};
use crate::{
    apart,
    failure::{Failure, Result, Trying},
    http::{self, Request},
    place::Place,
    tally::{Tally, shown, timed},
    watch,
};

/// Tenants whose tokens have expired, so that every request needs the store.
const EXPIRED: usize = 50;

/// How long the next token lives.
const LIFE: Duration = Duration::from_secs(600);

/// A tenant whose refresh is under way when the disk fills.
const CAUGHT: &str = "caught";

/// A file system of 4 MiB.
struct Disk(PathBuf);

pub(super) async fn store(binary: &Path) -> Result<Vec<Row>> {
    let mut place = furnished(binary).await?;
    let disk = Disk::mount(&place, "state")?;
    place.set("store", "url = \"sqlite:state/store.db\"\nencryption_key = { file = \"key\" }");
    place.set("refresh", "min_interval = \"1s\"");
    for name in (0..EXPIRED).map(|number| format!("expired-{number}")) {
        let line = place.flexslot.state.grants.expired(&name, LIFE);
        place.tenant(line);
    }
    let line = place.flexslot.state.grants.expired(CAUGHT, LIFE);
    let sidecar = place.tenant(line).start().await?;
    let mut stage = Stage { place, sidecar };
    stage.warm().await;
    sleep(Duration::from_secs(1)).await;
    let port = stage.place.proxy;
    let (cost, watch) = (stage.cost(), stage.watch());

    // Its answer comes when the disk is full.
    stage.place.flexslot.state.grants.slow_next(Duration::from_secs(1));
    let caught = tokio::spawn(async move { timed(http::ask(port, &Request::get(CAUGHT))).await });
    sleep(Duration::from_millis(400)).await;
    disk.fill()?;
    let mut tally = Tally::default();
    tally.note(caught.await.map_err(|error| Failure::new(error.to_string()))?);
    for _ in 0..5 {
        tally.note(timed(http::ask(port, &Request::get(CAUGHT))).await);
    }
    let with_pair = tally.to_string();
    let mut expired = Tally::default();
    for number in 0..EXPIRED {
        expired.note(timed(http::ask(port, &Request::get(&format!("expired-{number}")))).await);
    }
    sleep(Duration::from_secs(2)).await;
    let readiness = stage.sidecar.readiness().await;
    let healthy = watch.end().await.to_string();
    disk.free()?;
    let freed = Instant::now();
    let recovery = watch::recovery(port, &Request::get(&format!("expired-{}", EXPIRED - 1))).await;
    while stage.sidecar.readiness().await != "ready" && freed.elapsed() < Duration::from_secs(60) {
        sleep(Duration::from_millis(20)).await;
    }
    let ready = shown(&freed.elapsed());
    let cost = cost.end(&stage.sidecar);
    // What was in memory alone is in the store by now, if the next process has it.
    stage.sidecar.stop().await?;
    stage.sidecar = stage.place.start().await?;
    let mut restarted = Tally::default();
    restarted.note(timed(http::ask(port, &Request::get(CAUGHT))).await);
    let replays = stage.place.flexslot.state.grants.counts().replays;
    Ok(vec![Row {
        fault: format!("the store's disk is full, one refresh under way; {EXPIRED} tenants with expired tokens"),
        seen: format!(
            "the tenant of the refresh under way: {with_pair}; with an expired token: {expired}; /readyz then says {readiness}; {replays} replays"
        ),
        healthy,
        recovery: format!(
            "{recovery} after there is room again, /readyz ready after {ready}; after a restart the refresh's tenant gets {restarted}"
        ),
        cost: Some(cost),
    }])
}

pub(super) async fn log(binary: &Path) -> Result<Vec<Row>> {
    const CLIENTS: usize = 16;
    const EACH: usize = 500;
    let mut place = furnished(binary).await?;
    let disk = Disk::mount(&place, "log")?;
    let file = place.path("log").join("proxy.log");
    place.prepare()?;
    let sidecar = place.launch().log_to(file.clone()).start(place.admin).await?;
    let stage = Stage { place, sidecar };
    stage.warm().await;
    let (cost, watch, port) = (stage.cost(), stage.watch(), stage.place.proxy);
    let ask_all = async || {
        let mut clients = JoinSet::new();
        for _ in 0..CLIENTS {
            clients.spawn(async move {
                let mut outcomes = Vec::new();
                for _ in 0..EACH {
                    outcomes.push(timed(http::ask(port, &Request::get(VICTIM))).await);
                }
                outcomes
            });
        }
        let mut tally = Tally::default();
        clients.join_all().await.into_iter().flatten().for_each(|outcome| tally.note(outcome));
        tally
    };
    let lines = || fs::read_to_string(&file).unwrap_or_default().lines().filter(|line| line.contains(VICTIM)).count();
    disk.fill()?;
    let full = ask_all().await;
    sleep(Duration::from_millis(100)).await;
    let lost = full.total() - lines();
    disk.free()?;
    let before = lines();
    let after = ask_all().await;
    sleep(Duration::from_millis(100)).await;
    let torn = fs::read_to_string(&file).unwrap_or_default().lines().filter(|line| !line.ends_with('}')).count();
    Ok(vec![Row {
        fault: "the log's disk is full (standard error is a file)".into(),
        seen: format!("{full}; {lost} lines of {} are lost, {torn} broken off", full.total()),
        healthy: watch.end().await.to_string(),
        recovery: format!("{} of {} lines once there is room", lines() - before, after.total()),
        cost: Some(cost.end(&stage.sidecar)),
    }])
}

// === impl Disk ===

impl Disk {
    fn mount(place: &Place, name: &str) -> Result<Self> {
        let dir = place.path(name);
        fs::create_dir(&dir).trying(|| dir.display().to_string())?;
        apart::run("mount", &["-t", "tmpfs", "-o", "size=4m,mode=0700", "none", &dir.display().to_string()])?;
        Ok(Self(dir))
    }

    /// Takes all the room that is left.
    fn fill(&self) -> Result<()> {
        let mut ballast = File::create(self.0.join("ballast")).trying(|| "ballast".into())?;
        for size in [65536, 4096, 1] {
            while ballast.write_all(&vec![0; size]).is_ok() {}
        }
        Ok(())
    }

    fn free(&self) -> Result<()> {
        fs::remove_file(self.0.join("ballast")).trying(|| "ballast".into())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Whoever still has a file open there keeps it until we end.
        let _ = apart::run("umount", &["--lazy", &self.0.display().to_string()]);
    }
}
