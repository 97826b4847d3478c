//! What must hold, whatever has happened.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    super::stage::{
        caller::{Reply, has_no_secret},
        flexslot::Credential,
        upstream::{Arrival, Outcome},
    },
    call::{Call, Upload},
    play::Play,
};

/// After so long every process on a store that it reaches knows what another one has changed.
const KNOWN: Duration = Duration::from_secs(10);

// === impl Play ===

impl Play {
    /// What the neighbours have seen.
    pub fn check_faults(&self) {
        assert_eq!(self.world.flexslot.fault(), None);
        for node in &self.nodes {
            assert_eq!(node.upstream.fault(), None);
        }
    }

    /// Takes what a connection has heard for the answers to its calls.
    pub fn collect(&mut self, line: usize) {
        if !self.lines[line].has_news() {
            return;
        }
        let line = &self.lines[line];
        let Some(connection) = &line.connection else { return };
        has_no_secret(&connection.bytes());
        if line.calls.is_empty() {
            return;
        }
        let replies = connection.replies(&self.methods(line)).unwrap_or_else(|fault| {
            let asked: Vec<_> =
                line.calls.iter().map(|call| self.calls[*call].text().escape_ascii().to_string()).collect();
            panic!("{fault}: {asked:?} {}", connection.bytes().escape_ascii());
        });
        for (call, reply) in line.calls.clone().into_iter().zip(replies) {
            self.calls[call].reply = Some(reply);
        }
    }

    /// Whether a call is over: answered, or its connection is.
    pub fn is_over(&self, call: &Call) -> bool {
        let line = self.lines.iter().find(|line| line.calls.contains(&call.number));
        let ended = line.and_then(|line| line.connection.as_ref()).is_none_or(|connection| connection.has_ended());
        call.hung_up || ended || call.reply.as_ref().is_some_and(|reply| reply.content.length.is_some())
    }

    /// Looks at every call, where it went and what came of it.
    pub fn check_calls(&self) {
        let arrivals: Vec<_> = self.nodes.iter().map(|node| node.upstream.arrivals()).collect();
        for call in &self.calls {
            let number = call.number.to_string();
            let own = arrivals[call.which].iter().filter(|arrival| arrival.head.field("x-call") == Some(&number));
            let own: Vec<&Arrival> = own.collect();
            check_sends(call, &own);
            self.check_credentials(call, &own);
            if !call.hung_up {
                let reply = call.reply.as_ref();
                check_reply(call, reply.unwrap_or_else(|| panic!("call {number} has no answer")), own.last().copied());
            }
        }
    }

    /// A credential of the call's own tenant, never the one that was just refused, and none of a grant that is over.
    fn check_credentials(&self, call: &Call, arrivals: &[&Arrival]) {
        let sent: Vec<_> = arrivals
            .iter()
            .map(|arrival| Credential::parse(arrival.head.field("authorization").expect("one")).expect("one of ours"))
            .collect();
        for credential in &sent {
            assert_eq!(credential.tenant(), call.tenant, "the credential of another tenant");
            let Credential::Access(pair) = credential else { continue };
            let is_barred = self.barred.iter().find(|barred| {
                let knew = match barred.which == call.which {
                    true => call.number >= barred.from,
                    false => knew(call, barred.since),
                };
                let of_it =
                    barred.tenant == pair.tenant && barred.consent.is_none_or(|consent| pair.consent <= consent);
                knew && of_it
                    && (barred.up_to == u64::MAX || barred.consent == Some(pair.consent) && pair.number <= barred.up_to)
            });
            let (number, which, begun) = (call.number, call.which, self.since(call.begun));
            assert!(
                is_barred.is_none(),
                "call {number} at {which}, begun at {begun:?}, is sent with {pair:?}, which is over\n{}",
                self.world.flexslot.story()
            );
        }
        for (pair, two) in arrivals.windows(2).zip(sent.windows(2)) {
            if let Outcome::Answered { status: 401, .. } = pair[0].outcome {
                assert_ne!(two[0], two[1], "sent again with what was refused\n{}", self.world.flexslot.story());
            }
        }
    }
}

/// Whether the call's sidecar had had the time to hear what the store says `since` then.
fn knew(call: &Call, since: Option<Instant>) -> bool {
    let heard = since.zip(call.hears_since);
    heard.is_some_and(|(since, hears)| call.begun >= since.max(hears) + KNOWN)
}

/// Once, and once more because of a 401; and where a used connection was closed before a word of an answer, that once more
/// where it does no harm.
fn check_sends(call: &Call, arrivals: &[&Arrival]) {
    arrivals.iter().for_each(|arrival| call.check_arrival(arrival));
    let Some((_, before)) = arrivals.split_last() else { return };
    let (mut refused, mut stale) = (0, 0);
    for arrival in before {
        match arrival.outcome {
            Outcome::Answered { status: 401, .. } => refused += 1,
            Outcome::Cut if arrival.nth > 0 && call.is_harmless() => stale += 1,
            outcome => panic!("call {} is sent again after {outcome:?}, number {}", call.number, arrival.nth),
        }
    }
    assert!(refused <= 1 && stale <= 1 + refused, "call {} is sent {} times", call.number, arrivals.len());
}

fn check_reply(call: &Call, reply: &Reply, last: Option<&Arrival>) {
    let status = reply.head.status();
    let Some(answered) = reply.head.field("x-answer") else {
        assert!(!reply.broken, "{reply:?}");
        let to_head = call.method == http::Method::HEAD;
        assert!(to_head || reply.is_bare() || reply.problem().is_some(), "{reply:?}");
        // A 401 may have left nothing to send again with, and a body its caller.
        let is_answered =
            matches!(last.map(|last| last.outcome), Some(Outcome::Answered { status, whole: true }) if status != 401);
        assert!(!is_answered || call.upload == Upload::Slow, "call {} is answered, and told {status}", call.number);
        return;
    };
    assert_eq!(answered, call.number.to_string(), "the answer to another call");
    let Some(Outcome::Answered { status: said, whole }) = last.map(|last| last.outcome) else {
        panic!("call {} has an answer that nobody gave: {last:?}", call.number)
    };
    assert_eq!(status, said);
    let bodiless = call.method == http::Method::HEAD || [204, 304].contains(&status);
    assert_eq!(
        !reply.broken,
        whole || bodiless,
        "what breaks off does not look whole, and what is whole does: {reply:?}"
    );
    assert!(!reply.head.fields.contains_key("set-cookie") && !reply.head.fields.contains_key("x-echo"));
}
