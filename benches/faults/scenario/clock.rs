//! The machine's clock, as libfaketime shows it to the sidecar: it jumps, and it stands still. Flexslot's goes on.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use tokio::time::{interval, sleep};

use super::{Row, Stage, VICTIM, furnished};
use crate::{
    failure::{Failure, Result, Trying},
    http::{self, Request},
    tally::{Tally, timed},
    watch::{self, Watch},
};

/// A tenant whose tokens live for seconds.
const BRIEF: &str = "brief";
const LIFE: Duration = Duration::from_secs(6);

/// A tenant whose token lives for an hour.
const HOURLY: &str = "hourly";

/// A sidecar whose clock is in our hands.
struct Clock {
    stage: Stage,
    file: PathBuf,
}

pub(super) async fn jumps(binary: &Path) -> Result<Vec<Row>> {
    let clock = Clock::set(binary).await?;
    let mut rows = Vec::new();
    for (what, offset) in [
        ("two hours ahead", "+7200"),
        ("back by two hours", "+0"),
        ("two hours behind", "-7200"),
        ("and to the right time", "+0"),
    ] {
        rows.push(clock.observe(&format!("the clock jumps: {what}"), offset).await?);
    }
    Ok(rows)
}

pub(super) async fn stands_still(binary: &Path) -> Result<Vec<Row>> {
    let clock = Clock::set(binary).await?;
    let now = jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S").to_string();
    let mut rows = vec![clock.observe("the clock stands still", &now).await?];
    rows.push(clock.observe("the clock goes on, at the right time", "+0").await?);
    Ok(rows)
}

// === impl Clock ===

impl Clock {
    async fn set(binary: &Path) -> Result<Self> {
        let library = library()?;
        let mut place = furnished(binary).await?;
        place.set("refresh", "min_interval = \"1s\"");
        let grants = &place.flexslot.state.grants;
        let lines = [grants.grant(BRIEF, LIFE), grants.grant(HOURLY, Duration::from_secs(3600))];
        for line in lines {
            place.tenant(line);
        }
        place.prepare()?;
        let file = place.path("clock");
        fs::write(&file, "+0").trying(|| "the clock".into())?;
        let launch =
            place.launch().env("LD_PRELOAD", library).env("FAKETIME_TIMESTAMP_FILE", file.display().to_string());
        let launch = launch.env("FAKETIME_NO_CACHE", "1").env("FAKETIME_DONT_FAKE_MONOTONIC", "1").env("TZ", "UTC");
        let sidecar = launch.start(place.admin).await?;
        let stage = Stage { place, sidecar };
        stage.warm().await;
        Ok(Self { stage, file })
    }

    /// Turns the clock, and has three tenants ask for three lives of the shortest token.
    async fn observe(&self, fault: &str, to: &str) -> Result<Row> {
        let (cost, port) = (self.stage.cost(), self.stage.place.proxy);
        let grants = &self.stage.place.flexslot.state.grants;
        let before = grants.counts();
        let watch = Watch::begin(port, self.stage.place.admin);
        let turned = Instant::now();
        fs::write(&self.file, to).trying(|| "the clock".into())?;
        let (mut brief, mut hourly, mut turns) =
            (Tally::default(), Tally::default(), interval(Duration::from_millis(100)));
        while turned.elapsed() < 3 * LIFE {
            turns.tick().await;
            brief.note(timed(http::ask(port, &Request::get(BRIEF))).await);
            hourly.note(timed(http::ask(port, &Request::get(HOURLY))).await);
        }
        let after = grants.counts();
        sleep(Duration::from_millis(200)).await;
        let recovery = watch::recovery(port, &Request::get(VICTIM)).await;
        Ok(Row {
            fault: fault.to_owned(),
            seen: format!(
                "with tokens of {} s: {brief}; with one of an hour: {hourly}; {} refreshes, {} replays",
                LIFE.as_secs(),
                after.refreshes - before.refreshes,
                after.replays - before.replays
            ),
            healthy: watch.end().await.to_string(),
            recovery,
            cost: Some(cost.end(&self.stage.sidecar)),
        })
    }
}

/// Where Debian has it.
fn library() -> Result<String> {
    let mut found = fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .flatten()
        .map(|dir| dir.path().join("faketime/libfaketime.so.1"));
    let library = found.find(|path| path.is_file());
    let missing = || Failure::new("libfaketime is not installed").hint("apt-get install libfaketime");
    Ok(library.ok_or_else(missing)?.display().to_string())
}
