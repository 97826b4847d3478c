//! The end of a play: everything works again, and whatever can be mended must mend itself.

use std::time::Duration;

use tokio::time::{advance, sleep};

use super::{
    play::{Play, TENANTS, WITH_PAT},
    sidecars::Sidecar,
    stage::{Process, at_once},
};
use crate::{
    credential::{
        Ask, Credentials, PathClass, Picked, Refusal, Resend,
        tests::world::{DECKS, steps, tenant},
    },
    model::{Clock, CredentialKind, GrantState, TenantId, token::Attempt},
};

/// How often a request is tried at the end, minutes apart, before it must have worked.
const LAST_TRIES: usize = 6;

// === impl Play ===

impl Play {
    /// Everything works again. Whatever can be mended must mend itself.
    pub(super) async fn finish(&mut self) {
        self.come_back().await;
        self.note("the play is over");
        self.shared.stage.open();
        self.start();
        for _ in 0..3 {
            sleep(Duration::from_secs(3)).await;
            advance(Duration::from_secs(90)).await;
        }
        sleep(Duration::from_secs(3)).await;
        self.everybody_is_answered();
        let alive: Vec<Process> = self.sidecars.iter().map(|sidecar| sidecar.process).collect();
        for name in TENANTS {
            let state = self.shared.grant_of(&tenant(name));
            if let Some(lost) = state.grant().and_then(|grant| self.shared.monitor.wrongly_lost(grant, &alive)) {
                self.shared.monitor.violate(lost);
            }
        }
        advance(Duration::from_secs(7200)).await;
        sleep(Duration::from_secs(5)).await;
        for name in TENANTS {
            self.last_requests(name).await;
        }
        self.newest_pat().await;
        // Nobody tries for longer than a day.
        let long_ago = self.clock.now().minus(Duration::from_secs(20 * 3600));
        sleep(Duration::from_secs(3600)).await;
        if let Some(left) = self.shared.monitor.left_over(&alive, long_ago) {
            self.shared.monitor.violate(left);
        }
    }

    fn everybody_is_answered(&mut self) {
        if let Some(waiting) = self.requests.iter().find(|request| !request.task.is_finished()) {
            self.shared.monitor.violate(format!("{}: a request waits for ever", waiting.process));
        }
        for sidecar in &self.sidecars {
            match &*sidecar.life.lock() {
                None => self.shared.monitor.violate(format!("{} never starts", sidecar.process)),
                Some((credentials, _)) if credentials.health().waiting > 0 => {
                    self.shared.monitor.violate(format!("{} still has outcomes that were not stored", sidecar.process));
                }
                Some(_) => {}
            }
        }
    }

    pub(super) fn lives(&self) -> Vec<(Process, Credentials)> {
        let living = |sidecar: &Sidecar| {
            sidecar.life.lock().as_ref().map(|(credentials, _)| (sidecar.process, credentials.clone()))
        };
        self.sidecars.iter().filter_map(living).collect()
    }

    /// At the end, a grant that Flexslot still takes works in every process, and of any other the user is told to
    /// connect again.
    async fn last_requests(&mut self, name: &str) {
        let tenant = tenant(name);
        if self.shared.grant_of(&tenant).grant().is_some_and(|grant| self.shared.monitor.is_lost(grant)) {
            return;
        }
        let (may_work, must_work) = match self.shared.grant_of(&tenant) {
            GrantState::Connected(grant) => (self.shared.monitor.is_good(&grant), self.shared.monitor.is_good(&grant)),
            // With two attempts that nobody knows the end of, it is over.
            GrantState::Uncertain(grant, intent) => {
                let good = self.shared.monitor.is_good(&grant);
                (good, good && intent.attempt == Attempt::First)
            }
            GrantState::NeverConnected | GrantState::Disconnected(_) => (false, false),
        };
        for (process, credentials) in self.lives() {
            let answer = persistently(&credentials, &tenant).await;
            self.shared.monitor.answered(process, &tenant, &answer);
            let state = self.shared.grant_of(&tenant);
            let good = match &answer {
                Ok(picked) if picked.kind == CredentialKind::Pat => !must_work && name == WITH_PAT,
                Ok(picked) => may_work && self.shared.monitor.takes(picked),
                Err(Refusal::ReconnectRequired(_)) => !must_work && matches!(state, GrantState::Disconnected(_)),
                Err(Refusal::NotConnected) => state == GrantState::NeverConnected,
                Err(_) => false,
            };
            if !good {
                let what =
                    format!("at the end {process} answers {answer:?} for {name}; must it work: {must_work}; {state:?}");
                self.shared.monitor.violate(what);
            }
        }
    }

    async fn newest_pat(&mut self) {
        let tenant = tenant(WITH_PAT);
        let stored = at_once(self.shared.store.load(&tenant)).expect("readable").pat;
        for (process, credentials) in self.lives() {
            let ask = Ask {
                tenant: &tenant,
                need: None,
                class: PathClass::PatOnly,
                resend: Resend::Possible,
                resource: DECKS,
            };
            let value = match credentials.pick(&ask, &mut steps()).await {
                // Of too many 401s, and it says nothing about which one it is.
                Err(Refusal::PatRejected(_)) => continue,
                answer => answer.ok().map(|picked| picked.authorization.to_str().expect("ASCII").to_owned()),
            };
            let right = stored.as_ref().map(|stored| format!("Bearer {}", stored.pat.expose()));
            if value != right {
                self.shared.monitor.violate(format!("at the end {process} has another PAT than the store"));
            }
        }
    }
}

/// A request, and if it is told to try again, another.
async fn persistently(credentials: &Credentials, tenant: &TenantId) -> Result<Picked, Refusal> {
    let ask = Ask { tenant, need: None, class: PathClass::Ordinary, resend: Resend::Possible, resource: DECKS };
    let mut answer = credentials.pick(&ask, &mut steps()).await;
    for _ in 1..LAST_TRIES {
        if matches!(answer, Ok(_) | Err(Refusal::ReconnectRequired(_) | Refusal::NotConnected)) {
            break;
        }
        sleep(Duration::from_secs(130)).await;
        answer = credentials.pick(&ask, &mut steps()).await;
    }
    answer
}
