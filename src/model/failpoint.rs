//! Steps of a renewal, and of a command that manages clients, at which a process can be made to die, so that a test sees what each of them leaves behind.
//!
//! `FLEXSLOT_PROXY_DIE_AT=STEP`, or `STEP:N` for the N-th time that it gets there, in the environment of `serve` or `client` makes
//! the process kill itself at that step: SIGKILL, so that nothing is unwound, flushed or given back. There is one
//! process to die, hence one static; it is armed by `cli` alone.
//!
//! Only builds with debug assertions have it. In any other [`reach`] is a `const fn` with nothing in it, and nobody reads
//! the variable.

#[cfg(debug_assertions)]
pub use armed::{DIE_AT, Unknown, arm, reach};

/// Declares the steps, each with its name, and the list of all of them.
macro_rules! steps {
    ($($(#[doc = $doc:literal])+ $step:ident => $name:literal,)+) => {
        /// Where a process can be made to die. Each stands in the function that does what it is named for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Step {
            $($(#[doc = $doc])+ $step,)+
        }

        impl Step {
            /// Every step there is, in the order in which a process comes to them.
            pub const ALL: &'static [Self] = &[$(Self::$step),+];

            /// The name by which the environment asks for it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$step => $name,)+
                }
            }
        }
    };
}

steps! {
    /// The lease is ours; nothing was read under it yet.
    LeaseWon => "lease-won",
    /// The record was read and judged; the store has not been asked to take the intent.
    IntentDue => "intent-due",
    /// The intent of a first attempt is stored.
    IntentStored => "intent-stored",
    /// The intent of a last resort is stored over the one without outcome.
    LastResortStored => "last-resort-stored",
    /// The token request is sent, and the answer has begun; nothing of what it says was read.
    AnswerBegun => "answer-begun",
    /// The answer is read; the store has not been asked to take the pair.
    PairDue => "pair-due",
    /// The store did not take the pair; nothing of it is in the spool.
    PairRefused => "pair-refused",
    /// The pair is on the disk, beside the place where the spool looks for it.
    PairStaged => "pair-staged",
    /// The pair is in the spool.
    PairSpooled => "pair-spooled",
    /// The store has taken the pair; no request has it.
    PairStored => "pair-stored",
    /// Requests are given the pair from here on.
    PairPublished => "pair-published",
    /// The lease is given back; those who wait for the pair have not heard of it.
    LeaseReleased => "lease-released",
    /// A pair was read from the spool; the store has not been asked to take it.
    SpoolRead => "spool-read",
    /// The store has answered for a pair of the spool, whose file is still there.
    SpoolTaken => "spool-taken",
    /// The grant is over; the store has not been asked to say so.
    EndDue => "end-due",
    /// The store says that the grant is over; we do not yet.
    EndStored => "end-stored",
    /// The refresh token was not taken; the store has not been asked to take the intent back.
    WithdrawalDue => "withdrawal-due",
    /// The record is as it was before the intent.
    WithdrawalStored => "withdrawal-stored",
    /// The store has travelled; it has not been asked to take back what it has lost. Once for the marker, and once for
    /// what is written over the marker.
    WriteBackDue => "write-back-due",
    /// A command has noted what it is about to ask Flexslot to do with an OAuth client; it has not asked.
    ClientNoted => "client-noted",
    /// Flexslot has done it; the store has not been told.
    ClientAnswered => "client-answered",
    /// The store has the outcome; nothing of it was printed.
    ClientStored => "client-stored",
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub const fn reach(_: Step) {}

// What is done at compile time reads no environment and ends no process.
#[cfg(not(debug_assertions))]
const _: () = reach(Step::LeaseWon);

#[cfg(debug_assertions)]
mod armed {
    use std::{
        fmt,
        sync::{
            OnceLock,
            atomic::{AtomicU32, Ordering},
        },
        thread,
    };

    use rustix::process::{Signal, getpid, kill_process};

    use super::Step;

    /// The variable that names the step.
    pub const DIE_AT: &str = "FLEXSLOT_PROXY_DIE_AT";

    /// No step has this name, or it is not followed by a number from 1 on.
    #[derive(Debug, Clone, PartialEq, Eq)]
    pub struct Unknown(String);

    /// A step, and how often the process passes it unharmed.
    struct Armed {
        step: Step,
        passes: AtomicU32,
    }

    static ARMED: OnceLock<Armed> = OnceLock::new();

    /// Makes this process die at the step that `text` names, as [`DIE_AT`] does. The first call counts.
    pub fn arm(text: &str) -> Result<(), Unknown> {
        let armed = Armed::parse(text).ok_or_else(|| Unknown(text.to_owned()))?;
        ARMED.get_or_init(|| armed);
        Ok(())
    }

    /// The process has come to `step`.
    pub fn reach(step: Step) {
        let Some(armed) = ARMED.get().filter(|armed| armed.step == step) else { return };
        let passes = armed.passes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |passes| passes.checked_sub(1));
        if passes.is_err() {
            die();
        }
    }

    /// At once: no destructor runs, and no buffer is written.
    fn die() -> ! {
        let _ = kill_process(getpid(), Signal::KILL);
        // The signal may come to another thread first.
        loop {
            thread::park();
        }
    }

    // === impl Armed ===

    impl Armed {
        fn parse(text: &str) -> Option<Self> {
            let (name, time) = text.split_once(':').unwrap_or((text, "1"));
            let step = Step::ALL.iter().copied().find(|step| step.as_str() == name)?;
            let passes = time.parse::<u32>().ok()?.checked_sub(1)?;
            Some(Self { step, passes: AtomicU32::new(passes) })
        }
    }

    // === impl Unknown ===

    impl fmt::Display for Unknown {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{DIE_AT}: there is no step {:?}", self.0)
        }
    }

    impl std::error::Error for Unknown {}

    #[cfg(test)]
    mod tests {
        use std::collections::HashSet;

        use super::{Armed, Ordering, Step};

        #[test]
        fn every_step_is_found_by_its_own_name() {
            let names: HashSet<_> = Step::ALL.iter().map(|step| step.as_str()).collect();
            assert_eq!(names.len(), Step::ALL.len());
            for step in Step::ALL {
                let armed = Armed::parse(step.as_str()).expect("a step");
                assert_eq!((armed.step, armed.passes.load(Ordering::Relaxed)), (*step, 0));
            }
        }

        #[test]
        fn a_step_may_be_passed_before_and_what_is_no_step_is_refused() {
            let third = Armed::parse("pair-due:3").expect("a step");
            assert_eq!((third.step, third.passes.load(Ordering::Relaxed)), (Step::PairDue, 2));
            for text in ["", "pair", "pair-due:", "pair-due:0", "pair-due:-1", "pair-due:1:1", "Pair-Due"] {
                assert!(Armed::parse(text).is_none(), "{text}");
            }
        }
    }
}
