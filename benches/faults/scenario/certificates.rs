//! The upstream's certificate: wrong in several ways, and new.

use std::{fs, path::Path, time::Duration};

use tokio::{task::JoinSet, time::sleep};

use super::{Row, Stage, VICTIM};
use crate::{
    authority::{Authority, Valid},
    failure::{Failure, Result},
    http::{self, Request},
    order::Order,
    tally::{Tally, timed},
    watch,
};

const HOST: &str = "127.0.0.1";

/// More requests at a time than there are connections to the upstream.
const CLIENTS: usize = 50;

pub(super) async fn faulty(binary: &Path) -> Result<Vec<Row>> {
    let (authority, stranger) = (Authority::new()?, Authority::new()?);
    let stage = Stage::set(binary, |place| {
        *place.flexslot.state.certificate.lock() = authority.vouch_for(&[HOST]).ok();
        let url = format!("https://{HOST}:{}", place.flexslot.port);
        place.replace("upstream", format!("url = \"{url}\"\nca_file = \"ca.pem\"\nproxy = \"off\""));
        let _ = fs::write(place.path("ca.pem"), authority.pem());
        place
    })
    .await?;
    let certificates = [
        ("is for another name", authority.vouch_for(&["other.flexslot.test"])?),
        ("has expired", authority.vouch(&[HOST], Valid::NoLonger)?),
        ("is not valid yet", authority.vouch(&[HOST], Valid::NotYet)?),
        ("is of an authority that nobody trusts", stranger.vouch_for(&[HOST])?),
        ("is a new one of the same authority", authority.vouch_for(&[HOST])?),
    ];
    let (shown, mut rows) = (&stage.place.flexslot.state.certificate, Vec::new());
    for (what, certificate) in certificates {
        let (cost, watch) = (stage.cost(), stage.watch());
        sleep(Duration::from_millis(500)).await;
        *shown.lock() = Some(certificate);
        let mut clients = JoinSet::new();
        let port = stage.place.proxy;
        for _ in 0..CLIENTS {
            let request = Request::get(VICTIM).order(Order::Slow(Duration::from_millis(300)));
            clients.spawn(timed(async move { http::ask(port, &request).await }));
        }
        let mut tally = Tally::default();
        while let Some(outcome) = clients.join_next().await {
            tally.note(outcome.map_err(|error| Failure::new(error.to_string()))?);
        }
        *shown.lock() = Some(authority.vouch_for(&[HOST])?);
        let recovery = watch::recovery(port, &Request::get(VICTIM)).await;
        rows.push(Row {
            fault: format!("Flexslot's certificate {what}; {CLIENTS} requests at once"),
            seen: tally.to_string(),
            healthy: watch.end().await.to_string(),
            recovery: format!("{recovery} after a good certificate"),
            cost: Some(cost.end(&stage.sidecar)),
        });
    }
    Ok(rows)
}
