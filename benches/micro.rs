//! What single steps of a request cost.
//!
//! `cargo bench --bench micro`, or some of them: `cargo bench --bench micro -- pick`. With each run criterion says what
//! has changed since the one before it.
//!
//! Times of one machine. What a whole request costs, in counts that another machine has too, is for `gate`; how that
//! compares with others' is for `compare`.

#![allow(clippy::expect_used, reason = "a program for people at a terminal")]

#[path = "micro/headers.rs"]
mod headers;
#[path = "micro/path.rs"]
mod path;
#[path = "micro/pick.rs"]
mod pick;
#[path = "micro/proof.rs"]
mod proof;
#[path = "micro/seal.rs"]
mod seal;
#[path = "micro/tenants.rs"]
mod tenants;

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use criterion::{Criterion, criterion_group, criterion_main};

criterion_group! {
    name = steps;
    config = Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2));
    targets = pick::warm, headers::both_ways, path::check, seal::records, proof::possession
}
criterion_main!(steps);

/// What comes of `work` that has nothing to wait for. It is polled once, with no runtime around it, so that only its own
/// time counts.
fn at_once<T>(work: impl Future<Output = T>) -> T {
    match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => done,
        Poll::Pending => unreachable!("a warm tenant, and a store in memory, keep nobody waiting"),
    }
}
