//! An upstream that is slow, breaks off, or sends more than anybody takes.

use std::{path::Path, sync::atomic::Ordering, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Row, Stage, VICTIM};
use crate::{
    cost::mib,
    failure::{Failure, Result},
    http::{self, Connection, Request},
    order::Order,
    tally::{Tally, timed},
    watch,
};

/// Requests at a time.
const MANY: usize = 500;

/// Clients that read nothing.
const STALLED: usize = 100;

/// Sends as many requests at once with this order, each on a connection of its own.
async fn all(port: u16, count: usize, order: Order) -> Tally {
    let mut clients = JoinSet::new();
    for _ in 0..count {
        clients.spawn(timed(async move { http::ask(port, &Request::get(VICTIM).order(order)).await }));
    }
    let mut tally = Tally::default();
    clients.join_all().await.into_iter().for_each(|outcome| tally.note(outcome));
    tally
}

pub(super) async fn slow(binary: &Path) -> Result<Vec<Row>> {
    let stage = Stage::set(binary, |place| place.set("upstream", "response_timeout = \"3s\"")).await?;
    let mut rows = Vec::new();
    for (what, time) in [("2 s, within `response_timeout` of 3 s", 2), ("10 s, beyond it", 10)] {
        let (mut cost, watch, port) = (stage.cost(), stage.watch(), stage.place.proxy);
        let asking = tokio::spawn(all(port, MANY, Order::Slow(Duration::from_secs(time))));
        sleep(Duration::from_millis(1500)).await;
        cost.look(&stage.sidecar);
        let seen = asking.await.map_err(|error| Failure::new(error.to_string()))?.to_string();
        let recovery = watch::recovery(port, &Request::get(VICTIM)).await;
        let (fault, healthy) =
            (format!("Flexslot answers {MANY} requests after {what}"), watch.end().await.to_string());
        rows.push(Row { fault, seen, healthy, recovery, cost: Some(cost.end(&stage.sidecar)) });
    }
    Ok(rows)
}

pub(super) async fn resets(binary: &Path) -> Result<Vec<Row>> {
    let stage = Stage::set(binary, |place| place).await?;
    let mut rows = Vec::new();
    for (what, order) in [("in place of an answer", Order::Reset), ("in the middle of a body", Order::CutBody)] {
        let (cost, watch, port) = (stage.cost(), stage.watch(), stage.place.proxy);
        drop(stage.sidecar.log.take());
        let tally = all(port, MANY, order).await;
        let recovery = watch::recovery(port, &Request::get(VICTIM)).await;
        let healthy = watch.end().await.to_string();
        let lines = stage.sidecar.log.take();
        let told = lines.iter().filter(|line| line["target"] == "access" && line["cause"].is_string()).count();
        let fault = format!("Flexslot resets {MANY} connections {what}");
        let seen = format!("{tally}; {told} of {} in the log with their cause", tally.total());
        rows.push(Row { fault, seen, healthy, recovery, cost: Some(cost.end(&stage.sidecar)) });
    }
    Ok(rows)
}

/// Whoever takes nothing holds up its own answer, and what is held in memory stays small.
pub(super) async fn stalled_clients(binary: &Path) -> Result<Vec<Row>> {
    let stage = Stage::set(binary, |place| place.set("upstream", "body_idle_timeout = \"5s\"")).await?;
    let (mut cost, watch, port) = (stage.cost(), stage.watch(), stage.place.proxy);
    let flooded = || stage.place.flexslot.state.flooded.load(Ordering::Relaxed);
    let mut clients = Vec::new();
    for _ in 0..STALLED {
        let mut connection = Connection::open(port).await.map_err(|error| Failure::new(error.to_string()))?;
        let head = Request::get(VICTIM).order(Order::Flood).head();
        connection.stream.write_all(head.as_bytes()).await.map_err(|error| Failure::new(error.to_string()))?;
        clients.push(connection);
    }
    sleep(Duration::from_secs(2)).await;
    let taken = flooded();
    cost.look(&stage.sidecar);
    sleep(Duration::from_secs(1)).await;
    let still = flooded() - taken;
    let ((), after) = timed(async {
        let are_open = || stage.place.flexslot.state.open.load(Ordering::Relaxed) > STALLED / 2;
        let cut = async {
            while are_open() {
                sleep(Duration::from_millis(20)).await
            }
        };
        let _ = timeout(Duration::from_secs(60), cut).await;
    })
    .await;
    let recovery = watch::recovery(port, &Request::get(VICTIM)).await;
    let each = mib(cost.grown() / STALLED as u64);
    Ok(vec![Row {
        fault: format!(
            "Flexslot sends as fast as it can to {STALLED} clients that take nothing (`body_idle_timeout` 5 s)"
        ),
        seen: format!(
            "{:.0} MiB were taken off Flexslot, sockets' buffers included, and {:.1} MiB more in the next second; \
             {each:.2} MiB of memory for each client; cut off {:.1} s after the beginning",
            mib(taken),
            mib(still),
            after.as_secs_f64() + 3.0
        ),
        healthy: watch.end().await.to_string(),
        recovery,
        cost: Some(cost.end(&stage.sidecar)),
    }])
}
