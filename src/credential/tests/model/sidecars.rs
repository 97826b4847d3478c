//! Processes: how they start, and how they die.

use std::{collections::HashMap, fs::File, path::PathBuf, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::time::sleep;

use super::{neighbours::Neighbours, play::Play, stage::Process};
use crate::{
    credential::{
        Credentials, RefreshPolicy, Settings, background::Background, coordinator::Parts, tests::world::ORIGIN,
    },
    model::{Clock, Timestamp, Untraced, clock::TokioClock, observe::Unobserved},
    store::{TokenStore, instance::InstanceLock, spool::Spool},
};

/// A process and its clock, which is wrong.
pub(super) struct Sidecar {
    pub(super) process: Process,
    lock: PathBuf,
    pub(super) life: Arc<Mutex<Option<(Credentials, Background)>>>,
}

struct SkewedClock(TokioClock, i64);

// === impl Play ===

impl Play {
    pub(super) fn start(&mut self) {
        let process = self.born;
        self.born += 1;
        let random = self.dice.random();
        let instance = InstanceLock::acquire(self.dir.path(), &random).expect("a lock");
        let lock = self.dir.path().join("instances").join(format!("{}.lock", instance.owner().instance));
        self.shared.monitor.born(process, instance.owner().clone());
        let skew = self.dice.one_of(&[0, 0, 3_600_000, -3_600_000, 50]);
        let neighbours = Arc::new(Neighbours { shared: Arc::clone(&self.shared), process });
        let settings = Settings {
            origin: ORIGIN.parse().unwrap(),
            refresh: RefreshPolicy::default(),
            endpoint: neighbours.clone(),
            server: neighbours.clone(),
            tenants: HashMap::new(),
            cached_tenants: 1000,
        };
        let life = Arc::new(Mutex::new(None));
        let spool = Spool::new(self.dir.path(), self.sealer.clone()).on_this_thread();
        let clock = Arc::new(SkewedClock(self.clock, skew));
        let (sealer, newborn) = (self.sealer.clone(), Arc::clone(&life));
        self.note(format!("{process} starts, its clock {skew} ms off"));
        tokio::spawn(async move {
            let store = loop {
                match TokenStore::open(neighbours.clone(), sealer.clone(), random.clone()).await {
                    Ok(store) => break store,
                    Err(_) => sleep(Duration::from_secs(1)).await,
                }
            };
            let (observer, tracer) = (Arc::new(Unobserved), Arc::new(Untraced));
            let parts = Parts {
                settings,
                store,
                spool: Some(spool),
                instance: Some(instance),
                clock,
                random,
                observer,
                tracer,
            };
            let credentials = Credentials::new(parts);
            loop {
                match credentials.start().await {
                    Ok(background) => break *newborn.lock() = Some((credentials, background)),
                    Err(_) => sleep(Duration::from_secs(1)).await,
                }
            }
        });
        self.sidecars.push(Sidecar { process, lock, life });
    }

    /// A process dies, with or without its lock becoming free, and another takes its place.
    pub(super) fn somebody_dies(&mut self) {
        // Best of all one that still has something to tell the store.
        let has_news = |sidecar: &Sidecar| sidecar.life.lock().as_ref().is_some_and(|(it, _)| it.health().waiting > 0);
        let at = match self.sidecars.iter().position(has_news) {
            Some(at) if self.dice.percent(70) => at,
            _ => self.dice.below(self.sidecars.len()),
        };
        let Sidecar { process, lock, life } = self.sidecars.swap_remove(at);
        let proof = self.dice.percent(50);
        self.note(format!("{process} dies; provably: {proof}"));
        if self.cut_off.as_ref().is_some_and(|cut_off| cut_off.process == process) {
            self.end_cut();
        }
        self.shared.stage.kill(process, &mut self.dice);
        self.shared.monitor.died(process, proof);
        let credentials = life.lock().take().map(|(credentials, _)| credentials);
        self.undead.extend(credentials);
        if proof {
            std::fs::remove_file(&lock).and_then(|()| File::create(&lock)).expect("a lock that is free");
        }
        let (dying, living) = self.requests.drain(..).partition::<Vec<_>, _>(|request| request.process == process);
        self.requests = living;
        dying.iter().for_each(|request| request.task.abort());
        self.given.lock().retain(|(of, ..)| *of != process);
        if self.sidecars.is_empty() || self.dice.percent(30) {
            self.start();
        }
    }
}

// === impl SkewedClock ===

impl Clock for SkewedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.now().millis() + self.1)
    }
}
