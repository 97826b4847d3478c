//! The renewal against every order of things that a seed can think of.
//!
//! Some sidecars share a store, a spool and a strict Flexslot. Whatever one of them asks of the store or of the token
//! endpoint waits on a [`stage`] until the [`play`] lets it happen, answers late, fails, or happens and fails to say
//! so. In between requests come and go, 401s arrive late, time passes, processes die and are replaced, the store comes
//! back empty or older, and somebody connects, disconnects, removes or revokes. A [`monitor`] watches each write, each token
//! request and each credential that is handed out, and knows what must never be seen. When the play is over, everything
//! works again, and so must every grant that can.
//!
//! A seed decides everything, so that a failure can be played again: it prints its seed and what happened. More seeds
//! than the usual ones:
//!
//! ```text
//! FLEXSLOT_MODEL_SEEDS=0..1000000 cargo test --release --lib credential::tests::model -- --nocapture
//! ```

mod cut_off;
mod dice;
mod finish;
mod life;
mod lines;
mod monitor;
mod names;
mod neighbours;
mod play;
mod sidecars;
mod stage;
mod travel;

use std::{
    ops::Range,
    sync::atomic::{AtomicU64, AtomicUsize, Ordering},
    thread,
};

/// What is played without being asked for more.
const SEEDS: Range<u64> = 0..1000;

#[test]
fn no_order_of_things_loses_a_grant_or_presents_a_token_twice() {
    let seeds = seeds();
    let (next, steps) = (AtomicU64::new(seeds.start), AtomicUsize::new(0));
    let threads = thread::available_parallelism().map_or(2, usize::from).min(8);
    let play_some = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return Ok(());
            }
            steps.fetch_add(play::play(seed)?, Ordering::Relaxed);
        }
    };
    let results: Vec<Result<(), String>> = thread::scope(|scope| {
        let playing: Vec<_> = (0..threads).map(|_| scope.spawn(play_some)).collect();
        playing
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err("the play itself panicked".into())))
            .collect()
    });
    println!("{} seeds, {} steps", seeds.end - seeds.start, steps.load(Ordering::Relaxed));
    for result in results {
        result.unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[allow(clippy::disallowed_methods, reason = "how long a test plays is no matter of the configuration")]
fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("FLEXSLOT_MODEL_SEEDS") else { return SEEDS };
    let (from, to) = text.split_once("..").expect("FLEXSLOT_MODEL_SEEDS is written like 0..1000");
    from.parse().expect("a number")..to.parse().expect("a number")
}
