//! A process dies at each step that has a name, and of each death it is known exactly what it leaves, what the next
//! process makes of that, and what it costs. Nothing here is left to chance: the process kills itself (`SIGKILL`) when
//! it comes to the step.

use std::{fs, os::unix::process::ExitStatusExt, path::PathBuf};

use flexslot_proxy::{
    model::{
        GrantState,
        failpoint::{DIE_AT, Step},
    },
    sandbox::{Canned, Effect, Endpoint, Fault, GrantView},
};
use http::StatusCode;
use tokio::{
    join,
    time::{Instant, timeout},
};

use self::table::{Flexslot, Found, Row, Stored, Then};
use super::{
    engines::{Engine, Place, on_each_engine},
    http::{Answer, Connection, ask, get},
    world::{Life, Tenant, World},
};
use crate::support::{
    PATIENCE,
    process::{Exit, Process, Sidecar},
};

mod table;
mod travelled;
mod trouble;

const DECKS: &str = "/api/public/v1/decks/";

/// Whether another sidecar of the same host runs on the same store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Company {
    Alone,
    Beside,
}

/// What a row is played with.
struct Stage<'r> {
    row: &'r Row,
    world: World,
    place: Place,
    tenant: Tenant,
    /// The sidecar that lives on, if there is one.
    beside: Option<Sidecar>,
}

/// Starts a sidecar that dies at `step`.
fn doomed(world: &World, step: &str) -> Process {
    world.write_config();
    world.launch().env(DIE_AT, step).spawn()
}

fn assert_killed(exit: &Exit, told: &str) {
    assert_eq!(exit.status.signal(), Some(9), "{told}: {:?}\n{}", exit.status, exit.stderr);
}

async fn world(place: Place) -> World {
    let mut world = World::at(place).await;
    world.set("refresh", "min_interval = \"0s\"").set("refresh", "timeout = \"60s\"");
    // Makes the key.
    world.store().await;
    world
}

// === impl Stage ===

impl<'r> Stage<'r> {
    async fn set(engine: Engine, row: &'r Row, company: Company) -> Self {
        let place = trouble::place(engine);
        let world = world(place.clone()).await;
        let (life, beside) = match company {
            Company::Alone => (Life::Expired, None),
            Company::Beside => (Life::Fresh, Some(world.start().await)),
        };
        let tenant = world.connect("acme", life).await;
        if let Some(sidecar) = &beside {
            // It has the tenant in memory, and finds out by a 401 that the token is of no use any more.
            assert_eq!(ask(sidecar.proxy, &get(DECKS, "acme")).await.status, 200);
        }
        world.sandbox.expire_access(tenant.grant).unwrap();
        if row.flexslot == Flexslot::HasEnded {
            world.sandbox.revoke_grant(tenant.grant).unwrap();
        }
        Self { row, world, place, tenant, beside }
    }

    /// What has happened so far, and what the `living` have written of it.
    fn told(&self, living: &[Sidecar]) -> String {
        let logs: Vec<_> = living.iter().map(|sidecar| sidecar.process.stderr()).collect();
        format!("{:?}, {:?}\n{}", self.row, self.view(), logs.join("\n"))
    }

    fn view(&self) -> GrantView {
        self.world.sandbox.grant(self.tenant.grant).unwrap()
    }

    /// Has one process after the other die.
    async fn kill_all(&self) {
        let (last, before) = self.row.deaths.split_last().unwrap();
        for step in before {
            self.kill_at(*step).await;
        }
        let fails = match self.row.flexslot {
            Flexslot::Rotates | Flexslot::HasEnded => None,
            Flexslot::Fails => Some(Canned::new(StatusCode::INTERNAL_SERVER_ERROR)),
            Flexslot::RefusesForNow => Some(Canned::new(StatusCode::SERVICE_UNAVAILABLE).retry_after(1)),
        };
        if let Some(answer) = fails {
            self.world.sandbox.fault(Fault::new(Endpoint::Token, Effect::Answer(answer)).once());
        }
        self.kill_at(*last).await;
    }

    /// Has a process die at `step`, which it comes to at its start or with its first request.
    async fn kill_at(&self, step: Step) {
        let told = format!("{step:?}, {:?}", self.row);
        let process = doomed(&self.world, step.as_str());
        let exit = match step {
            Step::SpoolRead | Step::SpoolTaken => process.exited().await,
            _ => {
                let sidecar = Sidecar::of(process).await;
                let asked = async { Connection::open(sidecar.proxy).await?.ask(&get(DECKS, "acme")).await };
                let (exit, answer) = join!(self.exited_at(step, sidecar.process), timeout(PATIENCE, asked));
                let answer = answer.expect("the connection ends with the process");
                assert!(answer.is_err(), "nobody is answered with what is not settled: {told}: {answer:?}");
                exit
            }
        };
        assert_killed(&exit, &told);
    }

    /// Waits for the end of a process that dies at `step`. Where it has to come from a store that refuses the pair, the
    /// store takes no writes from the token request to the end.
    async fn exited_at(&self, step: Step, process: Process) -> Exit {
        if !matches!(step, Step::PairRefused | Step::PairStaged | Step::PairSpooled) {
            return process.exited().await;
        }
        let gate = self.world.sandbox.hold(Endpoint::Token);
        timeout(PATIENCE, gate.arrived(1)).await.expect("the token request arrives");
        trouble::refuse_writes(&self.world, &self.place);
        gate.release();
        let exit = process.exited().await;
        trouble::take_writes(&self.world, &self.place);
        exit
    }

    /// What there is after the last death, with nobody alive who could have changed it.
    async fn find(&self) -> Found {
        let store = match self.world.stored("acme").await {
            GrantState::Connected(grant) => Stored::Pair(grant.version.number()),
            GrantState::Uncertain(grant, intent) => {
                assert_eq!((grant.version, grant.version.number()), (intent.version, 1), "{}", self.told(&[]));
                Stored::Uncertain(intent.attempt)
            }
            GrantState::Disconnected(ended) => Stored::Over(ended.reason),
            GrantState::NeverConnected => panic!("the grant is there: {}", self.told(&[])),
        };
        let [spooled, staged] = ["pair", "tmp"].map(|ending| self.in_spool(ending).len());
        Found { store, spooled, staged, asked: self.view().token_requests }
    }

    /// The files of the spool that end so.
    fn in_spool(&self, ending: &str) -> Vec<PathBuf> {
        let dir = self.world.path(if self.place == Place::Sqlite { "spool" } else { "state/spool" });
        let files = fs::read_dir(dir).into_iter().flatten().map(|entry| entry.unwrap().path());
        files.filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
    }

    /// Whoever lives on, and whoever is started in the place of the dead, serves the grant or knows that it is over, and
    /// stays with that.
    async fn go_on(mut self) {
        let mut living: Vec<_> = self.beside.take().into_iter().collect();
        for sidecar in &living {
            self.judge(&ask(sidecar.proxy, &get(DECKS, "acme")).await, &living);
        }
        living.push(self.world.start().await);
        for sidecar in living.iter().chain(&living) {
            self.judge(&ask(sidecar.proxy, &get(DECKS, "acme")).await, &living);
        }
        let (store, asks, replays) = match self.row.then {
            Then::Serves { asks } => (Stored::Pair(2), asks, 0),
            Then::Ends { asks, replays, reason } => (Stored::Over(reason), asks, replays),
        };
        let expected = Found { store, spooled: 0, staged: 0, asked: self.row.found.asked + asks };
        assert_eq!(self.find().await, expected, "{}", self.told(&living));
        assert_eq!(self.view().replays, replays, "{}", self.told(&living));
    }

    fn judge(&self, answer: &Answer, living: &[Sidecar]) {
        let expected = match self.row.then {
            Then::Serves { .. } => (200, ""),
            Then::Ends { .. } => (401, "reconnect_required"),
        };
        assert_eq!((answer.status, answer.code().as_str()), expected, "{answer:?}: {}", self.told(living));
    }
}

// === the tests ===

async fn a_death_leaves_what_the_table_says_and_the_next_process_goes_on(engine: Engine) -> String {
    let (began, rows) = (Instant::now(), table::rows());
    for row in &rows {
        let stage = Stage::set(engine, row, Company::Alone).await;
        stage.kill_all().await;
        assert_eq!(stage.find().await, row.found, "{}", stage.told(&[]));
        let used = stage.view().resource_requests;
        assert_eq!(used, 0, "no request has used a pair before it was settled: {}", stage.told(&[]));
        stage.go_on().await;
    }
    format!("steps, {engine:?}: {} ways to die, each followed by another process; {:.1?}", rows.len(), began.elapsed())
}
on_each_engine!(a_death_leaves_what_the_table_says_and_the_next_process_goes_on);

async fn a_sidecar_beside_the_dead_one_goes_on(engine: Engine) -> String {
    let (began, rows) = (Instant::now(), table::rows());
    for row in &rows {
        let stage = Stage::set(engine, row, Company::Beside).await;
        stage.kill_all().await;
        stage.go_on().await;
    }
    format!("steps, {engine:?}: {} ways to die beside another sidecar; {:.1?}", rows.len(), began.elapsed())
}
on_each_engine!(a_sidecar_beside_the_dead_one_goes_on);

#[test]
fn every_step_of_a_renewal_has_a_row() {
    let rows = table::rows();
    let others = [Step::WriteBackDue, Step::ClientNoted, Step::ClientAnswered, Step::ClientStored];
    for step in Step::ALL.iter().filter(|step| !others.contains(step)) {
        assert!(rows.iter().any(|row| row.deaths.last() == Some(step)), "{step:?}");
    }
}

#[tokio::test]
async fn a_step_that_there_is_not_stops_the_start() {
    let world = World::new().await;
    let exit = doomed(&world, "pair-forgotten").exited().await;
    assert_eq!(exit.status.code(), Some(2), "{}", exit.stderr);
    assert!(exit.stderr.contains("there is no step \"pair-forgotten\""), "{}", exit.stderr);
}
