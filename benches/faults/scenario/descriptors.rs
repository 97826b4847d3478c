//! No more descriptors than a few: what waits, and what goes on.

use std::{path::Path, time::Duration};

use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Row, Stage, VICTIM, furnished};
use crate::{
    failure::{Failure, Result},
    http::{self, Connection, Request},
    tally::{Tally, timed},
    watch::{self, Watch},
};

/// What the process may have.
const LIMIT: &str = "--nofile=256:256";

/// More clients than that.
const CLIENTS: usize = 400;

/// Clients that connect, ask, and stay.
pub(super) async fn exhausted(binary: &Path) -> Result<Vec<Row>> {
    let mut place = furnished(binary).await?;
    place.prepare()?;
    let sidecar = place.launch().wrapped(&["prlimit", LIMIT]).start(place.admin).await?;
    let stage = Stage { place, sidecar };
    stage.warm().await;
    let (mut cost, port) = (stage.cost(), stage.place.proxy);
    let (mut tally, mut clients) = (Tally::default(), Vec::new());
    let watch = Watch::begin(port, stage.place.admin);
    for _ in 0..CLIENTS {
        let mut connection = Connection::open(port).await.map_err(|error| Failure::new(error.to_string()))?;
        match timed(timeout(Duration::from_millis(100), connection.ask(&Request::get(VICTIM)))).await {
            (Ok(outcome), took) => tally.note((outcome, took)),
            (Err(_), took) => tally.add("waits", took),
        }
        clients.push(connection);
    }
    cost.look(&stage.sidecar);
    // Those that were served ask again, all of them at once.
    let (mut again, mut asking, waiting) = (Tally::default(), JoinSet::new(), clients.split_off(tally.of("200")));
    for mut connection in clients {
        asking.spawn(async move {
            let asked = timed(timeout(Duration::from_secs(5), connection.ask(&Request::get(VICTIM)))).await;
            (asked, connection)
        });
    }
    let mut clients = waiting;
    for ((outcome, took), connection) in asking.join_all().await {
        match outcome {
            Ok(outcome) => again.note((outcome, took)),
            Err(_) => again.add("waits", took),
        }
        clients.push(connection);
    }
    sleep(Duration::from_secs(2)).await;
    let healthy = watch.end().await.to_string();
    let warnings = stage.sidecar.log.count("cannot accept connections");
    drop(clients);
    let recovery = watch::recovery(port, &Request::get(VICTIM)).await;
    let fresh = http::ask(port, &Request::get(VICTIM))
        .await
        .map_or_else(|error| error.to_string(), |answer| answer.to_string());
    Ok(vec![Row {
        fault: format!("{CLIENTS} clients that stay, and 256 descriptors for the process (RLIMIT_NOFILE)"),
        seen: format!(
            "{tally}; those that were served, again and at once: {again}; {warnings} warnings; afterwards {fresh}"
        ),
        healthy,
        recovery,
        cost: Some(cost.end(&stage.sidecar)),
    }])
}
