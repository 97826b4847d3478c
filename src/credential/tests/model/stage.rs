//! Where every operation waits for its turn.

use std::{
    collections::HashSet,
    future::{Future, pending},
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::oneshot, time::timeout};

use super::dice::Dice;

/// A process by its number; a new one is another one.
pub(super) type Process = usize;

/// What is asked of a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Read,
    Write,
    Token,
}

/// What becomes of it. The last four are for token requests alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Done,
    /// It does not happen, and the asker learns that it failed.
    Refused,
    /// It happens, and the asker learns that it failed.
    AnswerLost,
    /// It does not happen, and nobody can know.
    QuestionLost,
    NotSent,
    Busy,
    Misconfigured,
}

/// The answer on its way back.
type Answer = Box<dyn FnOnce() + Send>;

/// Lets an operation happen.
type Happen = Box<dyn FnOnce(Fate) -> Answer + Send>;

enum Turn {
    Happen(Happen),
    Answer(Answer),
}

struct Waiting {
    process: Process,
    kind: Kind,
    what: String,
    turn: Turn,
}

/// All operations under way.
#[derive(Default)]
pub(super) struct Stage(Mutex<State>);

#[derive(Default)]
struct State {
    waiting: Vec<Waiting>,
    dead: HashSet<Process>,
    /// Does not get through to the store.
    cut_off: Option<Process>,
    /// The play is over: everything happens at once, and well.
    open: bool,
}

// === impl Stage ===

impl Stage {
    /// Asks for something. `happen` is called when its turn comes, which may be after the asker has given up, and must
    /// know that. Answers `None` when `patience` is over; the operations of a dead process never return.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        process: Process,
        kind: Kind,
        what: String,
        patience: Duration,
        happen: impl FnOnce(Fate, bool) -> T + Send + 'static,
    ) -> Option<T> {
        let (sender, receiver) = oneshot::channel();
        let happen: Happen = Box::new(move |fate| {
            let answer = happen(fate, !sender.is_closed());
            Box::new(move || drop(sender.send(answer)))
        });
        if let Some(now) = self.enter(process, kind, what, happen) {
            now(Fate::Done)();
        }
        match timeout(patience, receiver).await {
            Ok(Ok(answer)) => Some(answer),
            Ok(Err(_)) => pending().await,
            Err(_) => None,
        }
    }

    fn enter(&self, process: Process, kind: Kind, what: String, happen: Happen) -> Option<Happen> {
        let mut state = self.0.lock();
        if state.dead.contains(&process) {
            return None;
        }
        if state.open {
            return Some(happen);
        }
        state.waiting.push(Waiting { process, kind, what, turn: Turn::Happen(happen) });
        None
    }

    /// Gives one of the waiting its turn; `fates` says what may become of an operation. Answers what happened, `None`
    /// when nothing waits.
    pub(super) fn give_a_turn(&self, dice: &mut Dice, fates: impl FnOnce(&mut Dice, Kind) -> Fate) -> Option<String> {
        self.give_a_turn_to(dice, |_, _| true, fates)
    }

    /// The same to one of those that `may` have it.
    pub(super) fn give_a_turn_to(
        &self,
        dice: &mut Dice,
        may: impl Fn(Kind, &str) -> bool,
        fates: impl FnOnce(&mut Dice, Kind) -> Fate,
    ) -> Option<String> {
        let Waiting { process, kind, what, turn } = {
            let mut state = self.0.lock();
            let may = |(at, waiting): (usize, &Waiting)| may(waiting.kind, &waiting.what).then_some(at);
            let those: Vec<_> = state.waiting.iter().enumerate().filter_map(may).collect();
            if those.is_empty() {
                return None;
            }
            let at = those[dice.below(those.len())];
            state.waiting.remove(at)
        };
        match turn {
            Turn::Answer(answer) => {
                answer();
                Some(format!("{what} -> answered"))
            }
            Turn::Happen(happen) => {
                let fate = fates(dice, kind);
                let is_cut_off = kind != Kind::Token && self.0.lock().cut_off == Some(process);
                let fate = if is_cut_off { Fate::Refused } else { fate };
                let answer = happen(fate);
                if dice.percent(60) {
                    answer();
                    return Some(format!("{what} -> {fate:?}"));
                }
                let turn = Turn::Answer(answer);
                self.0.lock().waiting.push(Waiting { process, kind, what: what.clone(), turn });
                Some(format!("{what} -> {fate:?}, the answer is on its way"))
            }
        }
    }

    /// Kills `process`. What it has asked for may still happen; nobody will hear of it.
    pub(super) fn kill(&self, process: Process, dice: &mut Dice) {
        let waiting = {
            let mut state = self.0.lock();
            state.dead.insert(process);
            let (dying, living) = state.waiting.drain(..).partition::<Vec<_>, _>(|waiting| waiting.process == process);
            state.waiting = living;
            dying
        };
        for waiting in waiting {
            if let Turn::Happen(happen) = waiting.turn
                && dice.percent(50)
            {
                drop(happen(Fate::AnswerLost));
            }
        }
    }

    /// Cuts every connection to the store: what was asked happens or not, and whoever asked learns that it failed.
    /// Answers whether there was any.
    pub(super) fn cut(&self, dice: &mut Dice) -> bool {
        let cut = {
            let mut state = self.0.lock();
            let (cut, rest) = state.waiting.drain(..).partition::<Vec<_>, _>(|waiting| waiting.kind != Kind::Token);
            state.waiting = rest;
            cut
        };
        let any = !cut.is_empty();
        for waiting in cut {
            match waiting.turn {
                Turn::Happen(happen) if dice.percent(50) => happen(Fate::AnswerLost)(),
                Turn::Happen(happen) => happen(Fate::Refused)(),
                Turn::Answer(answer) => answer(),
            }
        }
        any
    }

    /// From now on nothing that `process` asks of the store happens.
    pub(super) fn cut_off(&self, process: Option<Process>) {
        self.0.lock().cut_off = process;
    }

    /// Ends the play: all that waits happens, and from now on everything at once.
    pub(super) fn open(&self) {
        let waiting = {
            let mut state = self.0.lock();
            state.open = true;
            std::mem::take(&mut state.waiting)
        };
        for waiting in waiting {
            match waiting.turn {
                Turn::Happen(happen) => happen(Fate::Done)(),
                Turn::Answer(answer) => answer(),
            }
        }
    }
}

/// The result of a future that needs nobody to wait for.
pub(super) fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(result) => result,
        Poll::Pending => panic!("a store in memory waits for nobody"),
    }
}
