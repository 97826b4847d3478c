//! Clients that are slow, idle or too many.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    io::AsyncWriteExt,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Row, Stage, VICTIM};
use crate::{
    failure::{Failure, Result},
    http::{self, Connection, Request, Unanswered},
    tally::{Tally, timed},
    watch::{self, BYSTANDER},
};

/// Clients that drip.
const SLOW: usize = 1000;

/// Connections at a time, for which 20,000 descriptors last; and those that stay, so that there is room for the bystander's.
const MOST: usize = 9_900;
const IDLE: usize = MOST - 10;

/// A byte of a head per second: the head never comes whole.
pub(super) async fn slow_heads(binary: &Path) -> Result<Vec<Row>> {
    let stage = Stage::set(binary, |place| place).await?;
    let (mut cost, watch, port) = (stage.cost(), stage.watch(), stage.place.proxy);
    let mut clients = JoinSet::new();
    for _ in 0..SLOW {
        clients.spawn(timed(async move {
            let mut connection = Connection::open(port).await?;
            let head = Request::get(VICTIM).head();
            let drip = async |connection: &mut Connection| {
                for byte in head.as_bytes().chunks(1) {
                    // Whoever is not listened to any more still reads what was said before.
                    let _ = connection.stream.write_all(byte).await;
                    if let Ok(answer) = timeout(Duration::from_secs(1), connection.answer()).await {
                        return answer;
                    }
                }
                connection.answer().await
            };
            drip(&mut connection).await
        }));
    }
    sleep(Duration::from_secs(5)).await;
    cost.look(&stage.sidecar);
    let mut tally = Tally::default();
    clients.join_all().await.into_iter().for_each(|outcome| tally.note(outcome));
    let recovery = watch::recovery(port, &Request::get(VICTIM)).await;
    Ok(vec![Row {
        fault: format!("{SLOW} clients send a byte of a request's header per second"),
        seen: tally.to_string(),
        healthy: watch.end().await.to_string(),
        recovery,
        cost: Some(cost.end(&stage.sidecar)),
    }])
}

/// A byte of a body per second for twenty seconds, then nothing.
pub(super) async fn slow_bodies(binary: &Path) -> Result<Vec<Row>> {
    let stage = Stage::set(binary, |place| place.set("upstream", "body_idle_timeout = \"5s\"")).await?;
    let (mut cost, watch, port) = (stage.cost(), stage.watch(), stage.place.proxy);
    let mut clients = JoinSet::new();
    for _ in 0..SLOW {
        clients.spawn(async move {
            let mut connection = Connection::open(port).await?;
            let head =
                Request { body: 0, fields: "Content-Length: 1000\r\n".into(), ..Request::post(VICTIM, 0) }.head();
            connection.stream.write_all(head.as_bytes()).await?;
            for _ in 0..20 {
                sleep(Duration::from_secs(1)).await;
                connection.stream.write_all(b"x").await?;
            }
            Ok::<_, Unanswered>(timed(connection.answer()).await)
        });
    }
    sleep(Duration::from_secs(15)).await;
    cost.look(&stage.sidecar);
    let mut tally = Tally::default();
    for outcome in clients.join_all().await {
        tally.note(outcome.unwrap_or_else(|unanswered| (Err(unanswered), Duration::ZERO)));
    }
    let recovery = watch::recovery(port, &Request::get(VICTIM)).await;
    Ok(vec![Row {
        fault: format!(
            "{SLOW} clients send a byte of a body per second for 20 s, then nothing (`body_idle_timeout` 5 s)"
        ),
        seen: format!("nothing as long as bytes come; from the last one on {tally}"),
        healthy: watch.end().await.to_string(),
        recovery,
        cost: Some(cost.end(&stage.sidecar)),
    }])
}

/// As many connections as there may be, each idle after a request; then one more.
pub(super) async fn idle(binary: &Path) -> Result<Vec<Row>> {
    let stage =
        Stage::set(binary, |place| place.set("limits", format!("keep_alive_timeout = \"60s\"\nconnections = {MOST}")))
            .await?;
    let (mut cost, port) = (stage.cost(), stage.place.proxy);
    let began = Instant::now();
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        let mut connection = Connection::open(port).await.map_err(|error| Failure::new(error.to_string()))?;
        let answer = connection.ask(&Request::get(VICTIM)).await.map_err(|error| Failure::new(error.to_string()))?;
        if !answer.is_good() {
            return Err(Failure::new(format!("{answer}, on connection {}", idle.len())));
        }
        idle.push(connection);
    }
    let opened = began.elapsed();
    cost.look(&stage.sidecar);
    let watch = stage.watch();
    sleep(Duration::from_secs(5)).await;
    let healthy = watch.end().await.to_string();
    // Those that are silent hold the rest, and one more waits.
    let mut silent = Vec::new();
    while IDLE + silent.len() < MOST {
        silent.push(Connection::open(port).await.map_err(|error| Failure::new(error.to_string()))?);
    }
    sleep(Duration::from_millis(200)).await;
    let waiting = timeout(Duration::from_secs(2), http::ask(port, &Request::get(BYSTANDER))).await.is_err();
    let probed = stage.sidecar.readiness().await;
    drop((idle, silent));
    let recovery = watch::recovery(port, &Request::get(BYSTANDER)).await;
    let after = if waiting { "the next one waits" } else { "the next one is served" };
    Ok(vec![Row {
        fault: format!("{IDLE} connections that have served a request and stay (opened in {opened:.1?})"),
        seen: format!("200 each; when {MOST} are open (`limits.connections`), {after}, and /readyz says {probed}"),
        healthy,
        recovery: format!("{recovery} after they have gone"),
        cost: Some(cost.end(&stage.sidecar)),
    }])
}

/// Connections that are opened and reset at once, half of them in the midst of a request.
pub(super) async fn flood(binary: &Path) -> Result<Vec<Row>> {
    const TIME: Duration = Duration::from_secs(10);
    let stage = Stage::set(binary, |place| place).await?;
    let (mut cost, watch, port) = (stage.cost(), stage.watch(), stage.place.proxy);
    let (over, opened, refused) =
        (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut clients = JoinSet::new();
    for number in 0..64_usize {
        let (over, opened, refused) = (Arc::clone(&over), Arc::clone(&opened), Arc::clone(&refused));
        clients.spawn(async move {
            while !over.load(Ordering::Relaxed) {
                let Ok(mut connection) = Connection::open(port).await else {
                    refused.fetch_add(1, Ordering::Relaxed);
                    continue;
                };
                if number.is_multiple_of(2) {
                    let _ = connection.send(&Request::get(VICTIM)).await;
                }
                opened.fetch_add(1, Ordering::Relaxed);
                // The end is a reset, which leaves no port behind that waits.
                let _ = connection.stream.set_zero_linger();
            }
        });
    }
    sleep(TIME).await;
    cost.look(&stage.sidecar);
    over.store(true, Ordering::Relaxed);
    while clients.join_next().await.is_some() {}
    let recovery = watch::recovery(port, &Request::get(VICTIM)).await;
    let per_second = opened.load(Ordering::Relaxed) / TIME.as_secs();
    Ok(vec![Row {
        fault: format!("connections opened and reset for {} s, {per_second} per second", TIME.as_secs()),
        seen: format!("{} could not be opened", refused.load(Ordering::Relaxed)),
        healthy: watch.end().await.to_string(),
        recovery,
        cost: Some(cost.end(&stage.sidecar)),
    }])
}
