//! A control group of 64 MiB, and more load than anybody would give to it.

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use tokio::{task::JoinSet, time::sleep};

use super::{Row, Stage, VICTIM, furnished};
use crate::{
    cost::mib,
    failure::{Failure, Result, Trying},
    http::{self, Connection, Request},
    order::Order,
    tally::{Tally, shown, timed},
    watch::{self, Watch},
};

const LIMIT: u64 = 64 << 20;

/// So many each at a time, beside idle connections: uploads that are kept to be sent again, large uploads, downloads.
const STEPS: [usize; 4] = [10, 30, 60, 120];
const IDLE: usize = 1000;

/// A control group of our own, removed when it is dropped.
struct Group {
    dir: PathBuf,
    limit: &'static str,
    peak: &'static str,
}

pub(super) async fn limited(binary: &Path) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for many in STEPS {
        rows.push(with(binary, many).await?);
    }
    Ok(rows)
}

async fn with(binary: &Path, many: usize) -> Result<Row> {
    let group = Group::make(many)?;
    let mut place = furnished(binary).await?;
    place.prepare()?;
    let enter = format!("echo $$ > {}/cgroup.procs && exec \"$0\" \"$@\"", group.dir.display());
    let launch = place.launch().wrapped(&["sh", "-c", &enter]);
    let sidecar = launch.start(place.admin).await?;
    let mut stage = Stage { place, sidecar };
    stage.warm().await;
    let (mut cost, port) = (stage.cost(), stage.place.proxy);
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        let mut connection = Connection::open(port).await.map_err(|error| Failure::new(error.to_string()))?;
        connection.ask(&Request::get(VICTIM)).await.map_err(|error| Failure::new(error.to_string()))?;
        idle.push(connection);
    }
    let (watch, mut tally) = (Watch::begin(port, stage.place.admin), Tally::default());
    for _ in 0..3 {
        let mut clients = JoinSet::new();
        for number in 0..3 * many {
            let request = match number % 3 {
                0 => Request::post(VICTIM, 1 << 20).order(Order::Slow(Duration::from_secs(1))),
                1 => Request::post(VICTIM, 16 << 20),
                _ => Request::get(VICTIM).order(Order::Body(16 << 20)),
            };
            clients.spawn(timed(async move { http::ask(port, &request).await }));
        }
        while let Some(outcome) = clients.join_next().await {
            cost.look(&stage.sidecar);
            tally.note(outcome.map_err(|error| Failure::new(error.to_string()))?);
        }
    }
    sleep(Duration::from_millis(500)).await;
    let healthy = watch.end().await.to_string();
    drop(idle);
    let killed = stage.sidecar.was_killed();
    if killed {
        stage.sidecar = launch.start(stage.place.admin).await?;
    }
    let recovered = watch::recovery(port, &Request::get(VICTIM)).await;
    let recovery = match killed {
        true => format!("started anew: ready after {}, and {recovered}", shown(&stage.sidecar.started_in)),
        false => recovered,
    };
    let peak = mib(group.peak()?);
    let cost = cost.end(&stage.sidecar);
    // The group can be removed when it is empty.
    stage.sidecar.stop().await?;
    let end = if killed { "killed for want of memory" } else { "not killed" };
    Ok(Row {
        fault: format!(
            "64 MiB for the process (control group): {IDLE} idle connections, and three times {many} uploads of 1 MiB, {many} of 16 MiB \
             and {many} downloads of 16 MiB at once"
        ),
        seen: format!("{tally}; the group's peak was {peak:.1} MiB, page cache included; {end}"),
        healthy,
        recovery,
        cost: Some(cost),
    })
}

// === impl Group ===

impl Group {
    /// Of the first version's memory controller, or of the second version.
    fn make(number: usize) -> Result<Self> {
        let name = format!("flexslot-faults-{}-{number}", process::id());
        let (first, second) = (Path::new("/sys/fs/cgroup/memory"), Path::new("/sys/fs/cgroup"));
        let group = if first.is_dir() {
            Self { dir: first.join(name), limit: "memory.limit_in_bytes", peak: "memory.max_usage_in_bytes" }
        } else {
            Self { dir: second.join(name), limit: "memory.max", peak: "memory.peak" }
        };
        let what = || format!("a control group, {}", group.dir.display());
        fs::create_dir(&group.dir).trying(what)?;
        fs::write(group.dir.join(group.limit), LIMIT.to_string()).trying(what)?;
        Ok(group)
    }

    fn peak(&self) -> Result<u64> {
        let file = self.dir.join(self.peak);
        let text = fs::read_to_string(&file).trying(|| file.display().to_string())?;
        text.trim().parse().trying(|| file.display().to_string())
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // It stays where a sidecar is still in it, after a failure; an empty group costs nothing.
        let _ = fs::remove_dir(&self.dir);
    }
}
