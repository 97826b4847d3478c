//! The upstream's name: gone, not told, and back.

use std::{fs, path::Path, time::Duration};

use tokio::{net::UdpSocket, task::JoinSet, time::sleep};

use super::{Row, Stage, VICTIM, furnished};
use crate::{
    apart,
    authority::Authority,
    cost::Cost,
    failure::{Failure, Result, Trying},
    http::{self, Request},
    order::Order,
    tally::{Tally, timed},
    watch,
};

const NAME: &str = "api.flexslot.test";

/// Where the machine's resolver is said to be.
const RESOLVER: &str = "127.0.0.77";

/// Clients, and how many requests each sends, one after the other.
const CLIENTS: usize = 1000;
const EACH: usize = 2;

/// A file that stands in the place of one of the machine's, for us alone.
struct InPlace(&'static str);

pub(super) async fn failing(binary: &Path) -> Result<Vec<Row>> {
    let authority = Authority::new()?;
    let mut place = furnished(binary).await?;
    *place.flexslot.state.certificate.lock() = Some(authority.vouch_for(&[NAME])?);
    let port = place.flexslot.port;
    place.replace("upstream", format!("url = \"https://{NAME}:{port}\"\nca_file = \"ca.pem\"\nproxy = \"off\""));
    let (hosts, resolver) = (place.path("hosts"), place.path("resolv.conf"));
    let written = fs::write(place.path("ca.pem"), authority.pem())
        .and_then(|()| fs::write(&hosts, format!("127.0.0.1 {NAME}\n")))
        .and_then(|()| fs::write(&resolver, format!("nameserver {RESOLVER}\n")));
    written.trying(|| "files for the resolver".into())?;
    let _hosts = InPlace::put(&hosts, "/etc/hosts")?;
    let _resolver = InPlace::put(&resolver, "/etc/resolv.conf")?;
    let sidecar = place.start().await?;
    let stage = Stage { place, sidecar };
    stage.warm().await;
    let told = format!("127.0.0.1 {NAME}\n");
    let mut rows = Vec::new();
    for (what, is_silent) in
        [("is unknown: the resolver refuses", false), ("is not told: the resolver is silent", true)]
    {
        fs::write(&hosts, &told).trying(|| "hosts".into())?;
        let _ = watch::recovery(stage.place.proxy, &Request::get(VICTIM)).await;
        let listening =
            if is_silent { Some(UdpSocket::bind((RESOLVER, 53)).await.trying(|| "port 53".into())?) } else { None };
        let (mut cost, watch) = (stage.cost(), stage.watch());
        sleep(Duration::from_millis(500)).await;
        fs::write(&hosts, "").trying(|| "hosts".into())?;
        let seen = all(&stage, &mut cost).await?.to_string();
        fs::write(&hosts, &told).trying(|| "hosts".into())?;
        let recovery = watch::recovery(stage.place.proxy, &Request::get(VICTIM)).await;
        drop(listening);
        let healthy = watch.end().await.to_string();
        let fault = format!("Flexslot's name {what}; {CLIENTS} clients, {EACH} requests each");
        rows.push(Row { fault, seen, healthy, recovery, cost: Some(cost.end(&stage.sidecar)) });
    }
    Ok(rows)
}

/// More requests at a time than there are connections to Flexslot.
async fn all(stage: &Stage, cost: &mut Cost) -> Result<Tally> {
    let (mut tally, mut clients) = (Tally::default(), JoinSet::new());
    let port = stage.place.proxy;
    for _ in 0..CLIENTS {
        clients.spawn(async move {
            let mut outcomes = Vec::new();
            for _ in 0..EACH {
                let request = Request::get(VICTIM).order(Order::Slow(Duration::from_millis(300)));
                outcomes.push(timed(http::ask(port, &request)).await);
            }
            outcomes
        });
    }
    while let Some(outcomes) = clients.join_next().await {
        cost.look(&stage.sidecar);
        outcomes.map_err(|error| Failure::new(error.to_string()))?.into_iter().for_each(|outcome| tally.note(outcome));
    }
    Ok(tally)
}

// === impl InPlace ===

impl InPlace {
    fn put(file: &Path, place: &'static str) -> Result<Self> {
        apart::run("mount", &["--bind", &file.display().to_string(), place])?;
        Ok(Self(place))
    }
}

impl Drop for InPlace {
    fn drop(&mut self) {
        // What is left mounted ends with our namespace.
        let _ = apart::run("umount", &[self.0]);
    }
}
