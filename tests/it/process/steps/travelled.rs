//! A process dies while it gives back to the store what that has lost: whoever else holds it, gives it back.

use super::{DECKS, assert_killed, doomed, trouble, world};
use crate::{
    process::{
        engines::{Engine, on_each_engine},
        http::{ask, get},
        world::Life,
    },
    support::{PATIENCE, process::Sidecar, until},
};
use flexslot_proxy::model::failpoint::Step;
use tokio::time::timeout;

/// Before the marker, and before the pair over the marker.
const TIMES: [u32; 2] = [1, 2];

async fn what_one_process_did_not_write_back_another_does(engine: Engine) -> String {
    for time in TIMES {
        let place = trouble::place(engine);
        let world = world(place.clone()).await;
        let acme = world.connect("acme", Life::Expired).await;
        let dying = Sidecar::of(doomed(&world, &format!("{}:{time}", Step::WriteBackDue.as_str()))).await;
        let other = world.start().await;
        for sidecar in [&dying, &other] {
            assert_eq!(ask(sidecar.proxy, &get(DECKS, "acme")).await.status, 200, "before");
        }
        other.process.pause();
        trouble::empty(&world, &place);
        let exit = timeout(PATIENCE, dying.process.exited()).await.expect("it notices");
        assert_killed(&exit, "while it writes back");
        assert!(world.stored("acme").await.grant().is_none(), "the pair is not written back");
        other.process.resume();

        let version = async || world.stored("acme").await.grant().map(|grant| grant.version.number());
        until("the other one writes the pair back", async || version().await == Some(2)).await;
        let newcomer = world.start().await;
        for sidecar in [&other, &newcomer] {
            assert_eq!(ask(sidecar.proxy, &get(DECKS, "acme")).await.status, 200, "afterwards");
        }
        let view = world.sandbox.grant(acme.grant).unwrap();
        assert_eq!((view.token_requests, view.version, view.replays), (1, 2, 0));
    }
    format!("steps, {engine:?}: {} deaths while a store that came back empty is written back", TIMES.len())
}
on_each_engine!(what_one_process_did_not_write_back_another_does);
