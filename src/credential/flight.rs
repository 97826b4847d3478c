//! How all requests of a grant share one renewal.
//!
//! The renewal belongs to the grant, not to a request. Whoever finds version *v* expired, or refused by Flexslot, calls
//! [`board`]: under the slot's lock, and only if the slot is still at *v*, it starts the renewal as a task of its own
//! or joins the one under way. A caller that goes away stops waiting and nothing else; a task that panics still lands,
//! by its drop guard, so nobody waits for ever.
//!
//! What is deliberately not here: what a renewal does ([`super::renewal`]), and which credential to use after a failure
//! ([`super::pick`]).

use std::{mem, sync::Arc};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use super::{
    At,
    failure::Failure,
    pace::{Backoff, NotNow},
    renewal,
    state::Slot,
    works::Works,
};
pub(super) use crate::model::refresh::Cause;
use crate::{
    model::{
        SpanContext, Traced,
        token::DisconnectReason,
        trace::{
            operations::{Operations, noted},
            spans::RefreshSpans,
            step::{self, Part},
        },
    },
    store::StoreError,
};

/// Whether a renewal ahead of need may be put off while many are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Haste {
    InTurn,
    AtOnce,
}

/// How a renewal ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Landing {
    /// The slot holds newer tokens: Flexslot's answer, or what another process stored.
    Renewed,
    /// The grant is over.
    Ended(DisconnectReason),
    /// The slot was changed by somebody else meanwhile (reconnected, removed); look again.
    Moved,
    Failed(Failure),
}

/// A renewal that somebody wants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// Which pair is to be renewed.
    pub(super) at: At,
    pub(super) cause: Cause,
    /// The span of the request that wants it, where that is exported.
    pub(super) led_by: Option<SpanContext>,
}

/// A renewal under way: a place to wait for its [`Landing`].
#[derive(Clone)]
pub(super) struct Flight {
    /// Its own, where it is exported.
    span: Option<SpanContext>,
    landing: watch::Receiver<Option<Landing>>,
    /// Whether a request waits, or has waited: such renewals go first.
    awaited: watch::Sender<bool>,
}

/// What [`board`] found.
pub(super) enum Boarding {
    /// The slot no longer holds the version that was asked about; look again.
    Moved,
    Aboard(Flight, Part),
    /// No renewal may start now.
    NotNow(NotNow),
}

/// Settles the slot when the task ends, however it ends: by returning, by a panic, or by being dropped.
struct Settle {
    works: Arc<Works>,
    slot: Arc<Slot>,
    at: At,
    cause: Cause,
    landing: Landing,
    landed: watch::Sender<Option<Landing>>,
}

// === impl Landing ===

impl From<Failure> for Landing {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl From<StoreError> for Landing {
    fn from(error: StoreError) -> Self {
        Self::Failed(Failure::store(&error))
    }
}

/// As the trace of a request that waited has it.
impl From<&Landing> for step::Landing {
    fn from(landing: &Landing) -> Self {
        match landing {
            Landing::Renewed => Self::Renewed,
            Landing::Ended(reason) => Self::Ended(*reason),
            Landing::Moved => Self::Moved,
            Landing::Failed(failure) => Self::Failed(failure.class),
        }
    }
}

// === impl Haste ===

impl Haste {
    /// A request that has to have a fresh token waits for no turn.
    pub(super) fn of(needs_fresh: bool) -> Self {
        if needs_fresh { Self::AtOnce } else { Self::InTurn }
    }
}

// === impl Flight ===

impl Flight {
    /// The renewal's own span, where it is exported.
    pub(super) fn span(&self) -> Option<SpanContext> {
        self.span
    }

    /// Waits for the landing until `deadline`. The renewal goes on without us.
    pub(super) async fn wait(mut self, deadline: Instant) -> Landing {
        self.awaited.send_if_modified(|awaited| !mem::replace(awaited, true));
        let landed = timeout_at(deadline, self.landing.wait_for(Option::is_some)).await;
        match landed {
            Ok(Ok(landing)) => landing.clone().unwrap_or(Landing::Moved),
            Ok(Err(_)) => Landing::Failed(Failure::internal()),
            Err(_) => Landing::Failed(Failure::slow()),
        }
    }

    /// Looks on until the landing, however late: no request waits for it here, so its turn comes no sooner.
    pub(super) async fn look_on(mut self) -> Landing {
        let landed = self.landing.wait_for(Option::is_some).await;
        landed.ok().and_then(|landing| landing.clone()).unwrap_or_else(|| Landing::Failed(Failure::internal()))
    }
}

/// Starts the renewal of version `wanted.at`, or joins the one under way.
pub(super) fn board(works: &Arc<Works>, slot: &Arc<Slot>, wanted: Wanted, haste: Haste) -> Boarding {
    let Wanted { at, cause, led_by } = wanted;
    let settings = works.settings();
    let now = works.now();
    slot.with(|state| {
        if state.live().is_none_or(|live| live.at() != at) {
            return Boarding::Moved;
        }
        if let Some(flight) = &state.flight {
            return Boarding::Aboard(flight.clone(), Part::Joined);
        }
        if cause.is_ahead_of_need() && works.is_draining() {
            return Boarding::NotNow(NotNow::Draining);
        }
        if let Some(not_now) = state.held_back(cause, now, settings.refresh.min_interval) {
            return Boarding::NotNow(not_now);
        }
        let is_early = state.live().is_some_and(|live| now < live.plan.turn);
        if haste == Haste::InTurn {
            let mut out_of_turn = works.out_of_turn.lock();
            if !is_early {
                out_of_turn.note_one(Instant::now());
            } else if !out_of_turn.admits(Instant::now()) {
                return Boarding::NotNow(NotNow::NotItsTurn);
            }
        }
        if cause == Cause::Expired {
            state.pace.early_expiry = Some(at.version);
        }
        let (landed, landing) = watch::channel(None);
        let (awaited, is_awaited) = watch::channel(false);
        let span = works.tracer.refresh(led_by);
        let flight = Flight { span, landing, awaited };
        state.flight = Some(flight.clone());
        let landing = Landing::Failed(Failure::internal());
        let settle = Settle { works: Arc::clone(works), slot: Arc::clone(slot), at, cause, landing, landed };
        works.tasks.spawn(fly(settle, is_awaited, span.map(|context| (context, led_by))));
        Boarding::Aboard(flight, Part::Led)
    })
}

/// `exported`: the renewal's own span, and that of the request which began it.
async fn fly(mut settle: Settle, awaited: watch::Receiver<bool>, exported: Option<(SpanContext, Option<SpanContext>)>) {
    let (works, cause, at, since) = (Arc::clone(&settle.works), settle.cause, settle.works.own_time(), Instant::now());
    let operations = exported.map(|_| Operations::since(since));
    let run = renewal::run(&works, &settle.slot, settle.at, cause, awaited);
    settle.landing = noted(operations.clone(), run).await;
    if let (Some((context, led_by)), Some(operations)) = (exported, operations) {
        let (tenant, landing) = (settle.slot.tenant.clone(), (&settle.landing).into());
        let took = since.elapsed();
        let spans = RefreshSpans { context, led_by, tenant, cause, at, took, landing, operations };
        works.tracer.take(Traced::Refresh(Box::new(spans)));
    }
}

// === impl Settle ===

impl Drop for Settle {
    fn drop(&mut self) {
        let landing = self.slot.with(|state| {
            state.flight = None;
            if self.landing == Landing::Renewed
                && self.cause == Cause::Refused
                && let Some(version) = state.live().map(|live| live.grant.version)
            {
                state.pace.renewed_after_401(version);
            }
            match &self.landing {
                // Of what the slot holds now it says nothing.
                Landing::Failed(_) if state.live().is_none_or(|live| live.at() != self.at) => Landing::Moved,
                Landing::Failed(failure) => {
                    let before = state.pace.backoff.take();
                    state.pace.backoff = Some(Backoff::after(before, failure.clone(), &self.works.random));
                    self.landing.clone()
                }
                Landing::Renewed | Landing::Ended(_) | Landing::Moved => self.landing.clone(),
            }
        });
        self.landed.send_replace(Some(landing));
    }
}
