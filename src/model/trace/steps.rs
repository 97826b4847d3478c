//! What happened to a request on its way, step by step.
//!
//! Noting a step costs a few instructions and no allocation: words are made of it only when somebody asks. Where the
//! request's trace is exported, what its [`Spans`] need is noted beside.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::{
    LONGEST,
    context::SpanContext,
    cut,
    finding::Considered,
    operations::Operations,
    spans::{Propagated, Spans},
    step::{Answer, Landing, Micros, Part, Refresh, Sent, Step},
};
use crate::model::{CredentialKind, Origin, refresh::Cause};

/// The steps of one request, in order of time. There is room for the first [`ROOM`]; those after them are counted.
#[derive(Debug, Clone)]
pub struct Steps {
    since: Instant,
    entries: [Option<Entry>; ROOM],
    lost: u32,
    exported: Exported,
}

/// What is exported of the request besides. Once: a copy of its steps has none of it.
#[derive(Debug, Default)]
struct Exported(Option<Box<Spans>>);

/// So many steps are kept. The longest way through the corridor, a refused grant and a PAT in its place, takes eight, and
/// two more where a bound token is proven anew; more come only where others change the tenant meanwhile.
pub const ROOM: usize = 12;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    at: Micros,
    step: Step,
}

/// A wait for a refresh. Its time counts when this is dropped, also where the client goes away meanwhile.
#[derive(Debug)]
pub struct RefreshWait<'a> {
    entry: Option<&'a mut Entry>,
    since: Instant,
}

/// A wait for Flexslot, in the same way.
#[derive(Debug)]
pub struct SendWait<'a> {
    entry: Option<&'a mut Entry>,
    since: Instant,
    /// Counted from zero.
    number: usize,
    spans: Option<&'a mut Spans>,
}

// === impl Steps ===

impl Steps {
    /// No steps yet, of a request that began at `since`.
    pub const fn since(since: Instant) -> Self {
        Self { since, entries: [None; ROOM], lost: 0, exported: Exported(None) }
    }

    /// Has the request exported, too.
    pub fn export(&mut self, spans: Box<Spans>) {
        self.exported = Exported(Some(spans));
    }

    /// What is to be exported of the request besides its trace; afterwards nothing is.
    pub fn take_spans(&mut self) -> Option<Box<Spans>> {
        self.exported.0.take()
    }

    /// The request's own span, where it is exported.
    pub fn context(&self) -> Option<SpanContext> {
        self.exported.0.as_ref().map(|spans| spans.context)
    }

    /// Where it is noted what is asked for the request, if it is exported.
    pub fn operations(&self) -> Option<Arc<Operations>> {
        self.exported.0.as_ref().map(|spans| Arc::clone(&spans.operations))
    }

    /// A credential is looked for from now on.
    pub fn begin_pick(&mut self) {
        if let Some(spans) = &mut self.exported.0 {
            spans.begin_pick();
        }
    }

    /// And now no more.
    pub fn end_pick(&mut self) {
        if let Some(spans) = &mut self.exported.0 {
            spans.end_pick();
        }
    }

    /// Notes a step that took no time.
    pub fn note(&mut self, step: Step) {
        self.enter(Instant::now(), step);
    }

    /// Notes what a decision looked at.
    pub fn considered(&mut self, considered: &Considered) {
        let now = Instant::now();
        for finding in considered.iter() {
            self.enter(now, Step::Considered(finding));
        }
    }

    /// Notes that a refresh goes on in the background; `span` is its own, where it is exported.
    pub fn leave_refresh(&mut self, cause: Cause, part: Part, span: Option<SpanContext>) {
        self.link(span);
        self.note(Step::Refresh(Refresh::in_background(cause, part)));
    }

    /// Notes that a refresh is waited for, until what it returns is dropped; `span` is its own, where it is exported.
    pub fn await_refresh(&mut self, cause: Cause, part: Part, span: Option<SpanContext>) -> RefreshWait<'_> {
        self.link(span);
        let (since, waited, landing) = (Instant::now(), Micros::default(), Landing::Awaited);
        RefreshWait { entry: self.enter(since, Step::Refresh(Refresh { cause, part, waited, landing })), since }
    }

    /// Notes that the request is sent and its answer waited for, until what it returns is dropped.
    pub fn send(&mut self, credential: CredentialKind) -> SendWait<'_> {
        let (since, took, answer) = (Instant::now(), Micros::default(), Answer::Awaited);
        let number = self.exported.0.as_ref().map_or(0, |_| self.sends());
        let (at, step) = (Micros::of(since.duration_since(self.since)), Step::Sent(Sent { credential, took, answer }));
        let entry = enter(&mut self.entries, &mut self.lost, Entry { at, step });
        SendWait { entry, since, number, spans: self.exported.0.as_deref_mut() }
    }

    fn enter(&mut self, now: Instant, step: Step) -> Option<&mut Entry> {
        let at = Micros::of(now.duration_since(self.since));
        enter(&mut self.entries, &mut self.lost, Entry { at, step })
    }

    fn sends(&self) -> usize {
        self.iter().filter(|(_, step)| matches!(step, Step::Sent(_))).count()
    }

    fn link(&mut self, refresh: Option<SpanContext>) {
        if let Some(spans) = &mut self.exported.0 {
            spans.refreshes.push(refresh);
        }
    }

    /// Each step, with the time from the request's beginning.
    pub fn iter(&self) -> impl Iterator<Item = (Duration, Step)> {
        self.entries.iter().flatten().map(|entry| (entry.at.duration(), entry.step))
    }

    /// How many steps there was no room for.
    pub const fn lost(&self) -> u32 {
        self.lost
    }

    /// How long the request waited for refreshes.
    pub fn refresh_wait(&self) -> Duration {
        let waited =
            |(_, step)| if let Step::Refresh(refresh) = step { refresh.waited.duration() } else { Duration::ZERO };
        self.iter().map(waited).sum()
    }

    /// What Flexslot answered last.
    pub fn upstream_status(&self) -> Option<u16> {
        let status = |(_, step)| match step {
            Step::Sent(Sent { answer: Answer::Status(status), .. }) => Some(status),
            _ => None,
        };
        self.iter().filter_map(status).last()
    }
}

fn enter<'a>(entries: &'a mut [Option<Entry>; ROOM], lost: &mut u32, entry: Entry) -> Option<&'a mut Entry> {
    match entries.iter_mut().find(|entry| entry.is_none()) {
        Some(free) => Some(free.insert(entry)),
        None => {
            *lost = lost.saturating_add(1);
            None
        }
    }
}

// === impl Exported ===

impl Clone for Exported {
    fn clone(&self) -> Self {
        Self(None)
    }
}

// === impl RefreshWait ===

impl RefreshWait<'_> {
    /// The refresh has ended like this.
    pub fn landed(&mut self, landing: Landing) {
        if let Some(Entry { step: Step::Refresh(refresh), .. }) = &mut self.entry {
            refresh.landing = landing;
        }
    }
}

impl Drop for RefreshWait<'_> {
    fn drop(&mut self) {
        if let Some(Entry { step: Step::Refresh(refresh), .. }) = &mut self.entry {
            refresh.waited = Micros::of(self.since.elapsed());
        }
    }
}

// === impl SendWait ===

impl SendWait<'_> {
    /// The request is for `path` at `origin`.
    pub fn to(&mut self, origin: &Origin, path: &str) {
        if let Some(spans) = &mut self.spans {
            // Bounded like the path of the trace: many of them may wait for a receiver that is away.
            let path = || if path.len() <= LONGEST { path.into() } else { cut(path, LONGEST).into() };
            spans.sent_to.get_or_insert_with(|| (origin.clone(), path()));
        }
    }

    /// The request goes out, or goes out once more. Where it is exported, these fields name the attempt as the span that
    /// what Flexslot does belongs to.
    pub fn attempt(&mut self) -> Propagated {
        let number = self.number;
        self.spans.as_mut().map(|spans| spans.begin_attempt(number)).unwrap_or_default()
    }

    /// There is no response, for this reason.
    pub fn failed(&mut self, failure: &'static str) {
        if let Some(spans) = &mut self.spans {
            spans.fail_send(self.number, failure);
        }
        self.answered(Answer::Failed);
    }

    /// Flexslot has answered, or will not.
    pub fn answered(&mut self, answer: Answer) {
        if let Some(Entry { step: Step::Sent(sent), .. }) = &mut self.entry {
            sent.answer = answer;
        }
    }

    /// Ends the wait, and says how long it was.
    pub fn end(&mut self) -> Duration {
        let took = self.since.elapsed();
        if let Some(Entry { step: Step::Sent(sent), .. }) = self.entry.take() {
            sent.took = Micros::of(took);
        }
        took
    }
}

impl Drop for SendWait<'_> {
    fn drop(&mut self) {
        if self.entry.is_some() {
            self.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{ROOM, Steps};
    use crate::model::{
        CredentialKind,
        refresh::Cause,
        trace::step::{Answer, Landing, Part, Refresh, Remedy, Sent, Step},
    };
    use std::time::Duration;
    use tokio::time::{Instant, advance};

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[tokio::test(start_paused = true)]
    async fn steps_stand_in_order_with_their_times() {
        let mut steps = Steps::since(Instant::now());
        advance(MILLISECOND).await;
        let mut wait = steps.await_refresh(Cause::Expired, Part::Joined, None);
        advance(5 * MILLISECOND).await;
        wait.landed(Landing::Renewed);
        drop(wait);
        let mut send = steps.send(CredentialKind::OAuth);
        advance(7 * MILLISECOND).await;
        send.answered(Answer::Status(204));
        drop(send);
        let noted: Vec<_> = steps.iter().collect();
        let [(first, Step::Refresh(refresh)), (second, Step::Sent(sent))] = noted[..] else { panic!("{noted:?}") };
        assert_eq!(
            (first, refresh.waited.duration(), refresh.landing),
            (MILLISECOND, 5 * MILLISECOND, Landing::Renewed)
        );
        assert_eq!(
            (second, sent.took.duration(), sent.answer),
            (6 * MILLISECOND, 7 * MILLISECOND, Answer::Status(204))
        );
        assert_eq!((steps.refresh_wait(), steps.upstream_status()), (5 * MILLISECOND, Some(204)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_that_is_cut_off_counts_its_time() {
        let mut steps = Steps::since(Instant::now());
        let refresh = steps.await_refresh(Cause::Refused, Part::Led, None);
        advance(MILLISECOND).await;
        drop(refresh);
        let send = steps.send(CredentialKind::Pat);
        advance(MILLISECOND).await;
        drop(send);
        let noted: Vec<_> = steps.iter().map(|(_, step)| step).collect();
        assert!(
            matches!(noted[0], Step::Refresh(Refresh { landing: Landing::Awaited, waited, .. }) if waited.duration() == MILLISECOND)
        );
        assert!(
            matches!(noted[1], Step::Sent(Sent { answer: Answer::Awaited, took, .. }) if took.duration() == MILLISECOND)
        );
    }

    #[test]
    fn what_there_is_no_room_for_is_counted() {
        let mut steps = Steps::since(Instant::now());
        for _ in 0..ROOM + 3 {
            steps.note(Step::Unauthorized(Remedy::PassedOn));
        }
        steps.send(CredentialKind::Pat).answered(Answer::Failed);
        assert_eq!((steps.iter().count(), steps.lost()), (ROOM, 4));
    }
}
