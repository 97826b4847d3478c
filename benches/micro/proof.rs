//! What a proof of possession costs, beside the signature in it.

use std::hint::black_box;

use criterion::Criterion;
use flexslot_proxy::{
    flexslot::dpop::{AccessTokenHash, ProofTarget, Prover},
    model::{Clock, ProofKey, Random, Secret, SystemClock},
};
use http::Method;

pub(crate) fn possession(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("proof");
    let (key, prover, random) = (ProofKey::generate(), Prover::default(), Random::system());
    let token = AccessTokenHash::of(&Secret::new("a".repeat(64)));
    let url = "https://api.flexslot.gg/api/public/v1/decks/";
    let target = ProofTarget { method: &Method::GET, url, token: Some(&token) };
    let now = SystemClock.now();
    // As long as the text of a proof.
    let message = [7; 400];
    group.bench_function("a signature", |bencher| bencher.iter(|| key.sign(black_box(&message))));
    group.bench_function("a proof", |bencher| {
        bencher.iter(|| prover.prove(None, &key, black_box(&target), now, &random));
    });
    group.bench_function("a new key", |bencher| bencher.iter(ProofKey::generate));
    group.finish();
}
