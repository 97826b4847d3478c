//! The end of a play: everything works again.

use std::time::Duration;

use flexslot_proxy::{model::GrantState, store::TenantRecord};
use tokio::time::{Instant, sleep};

use super::{
    super::stage::{
        TENANTS,
        caller::Reply,
        flexslot::Credential,
        settle,
        upstream::{Arrival, Script},
    },
    call::Call,
    play::Play,
};

/// How long the longest wait of a request can be, and more: the upstream's silence, twice, and that of the body.
const PATIENCE: usize = 300;

/// How often everybody asks once more, and how long they wait in between: longer than any pause between two tries, and than
/// an outcome counts as unknown.
const ROUNDS: usize = 4;
const PAUSE: Duration = Duration::from_secs(130);

// === impl Play ===

impl Play {
    pub async fn finish(mut self) {
        self.mend();
        for call in 0..self.calls.len() {
            if !self.calls[call].whole {
                self.end_upload(call);
            }
        }
        self.everybody_is_answered().await;
        let mut first = 0;
        for _ in 0..ROUNDS {
            sleep(PAUSE).await;
            first = self.calls.len();
            for which in 0..self.nodes.len() {
                for tenant in TENANTS {
                    let hears_since = self.nodes[which].hears_since;
                    let call = Call::plain(self.calls.len(), which, tenant, (Instant::now(), hears_since));
                    self.begin(call, false);
                    settle().await;
                }
            }
            self.everybody_is_answered().await;
            self.note_ends().await;
        }
        self.check_faults();
        self.check_calls();
        for call in &self.calls[first..] {
            let record =
                self.world.flexslot.store().load(&call.tenant.parse().expect("a name")).await.expect("a record");
            self.check_end(call.reply.as_ref().expect("an answer"), &record);
        }
        for node in &self.nodes {
            assert_eq!(node.sidecar.credentials.health().waiting, 0, "the store has been told everything");
        }
    }

    fn mend(&mut self) {
        for node in &mut self.nodes {
            let heard = node.mood.hears();
            node.mood.heal();
            node.note_hearing(heard);
            let flexslot = self.world.flexslot.clone();
            node.upstream.answer_all(move |arrival| strictly(arrival, |credential| flexslot.takes(credential)));
        }
        self.world.flexslot.open();
    }

    async fn everybody_is_answered(&mut self) {
        for _ in 0..PATIENCE {
            (0..self.lines.len()).for_each(|line| self.collect(line));
            if self.calls.iter().all(|call| self.is_over(call)) {
                return;
            }
            sleep(Duration::from_secs(1)).await;
        }
        let waiting = self.calls.iter().find(|call| !self.is_over(call));
        panic!("call {:?} waits for ever", waiting.map(|call| call.number));
    }

    /// What holds serves; what does not is told, with what to do about it.
    fn check_end(&self, reply: &Reply, record: &TenantRecord) {
        if reply.head.status() == 200 {
            return;
        }
        let problem = reply.problem().unwrap_or_else(|| panic!("{reply:?} of {record:?}"));
        let fits = match (problem.as_str(), &record.grant) {
            ("not_connected", GrantState::NeverConnected) => true,
            ("reconnect_required", GrantState::Disconnected(_)) => record.pat.is_none(),
            ("pat_rejected", GrantState::Disconnected(_) | GrantState::NeverConnected) => record.pat.is_some(),
            _ => false,
        };
        assert!(fits, "{problem}, and the store has {:?}", record.grant);
    }
}

/// An upstream that takes what is good, and nothing else.
fn strictly(arrival: &Arrival, takes: impl FnOnce(&Credential) -> bool) -> Script {
    let call = arrival.head.field("x-call").unwrap_or_default();
    let tag = format!("x-answer: {call}\r\n");
    let credential = arrival.head.field("authorization").and_then(Credential::parse);
    match credential.is_some_and(|credential| takes(&credential)) {
        true => Script::say(200, &tag, b"{}"),
        false => Script::say(401, &tag, b""),
    }
}
