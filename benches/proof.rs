//! What a proof of possession costs, beside the signature in it: `cargo bench --bench proof`.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "a table for people to read, of times measured")]

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use flexslot_proxy::{
    flexslot::dpop::{AccessTokenHash, ProofTarget, Prover},
    model::{Clock, ProofKey, Random, Secret, SystemClock},
};
use http::Method;

/// How many are made in a round, and how many rounds there are; the best counts, since other work only adds.
const EACH: u32 = 1000;
const ROUNDS: usize = 41;

fn main() {
    let (key, prover, random) = (ProofKey::generate(), Prover::default(), Random::system());
    let token = AccessTokenHash::of(&Secret::new("a".repeat(64)));
    let url = "https://api.flexslot.gg/api/public/v1/decks/";
    let target = ProofTarget { method: &Method::GET, url, token: Some(&token) };
    let now = SystemClock.now();
    let message = [7; 400];

    let mut best = [Duration::MAX; 3];
    for _ in 0..ROUNDS {
        let works: [&dyn Fn(); 3] = [
            &|| drop(black_box(key.sign(&message))),
            &|| drop(black_box(prover.prove(None, &key, &target, now, &random))),
            &|| drop(black_box(ProofKey::generate())),
        ];
        for (best, work) in best.iter_mut().zip(works) {
            let began = Instant::now();
            (0..EACH).for_each(|_| work());
            *best = (*best).min(began.elapsed() / EACH);
        }
    }
    let [signature, proof, generated] = best.map(|time| time.as_secs_f64() * 1e6);
    println!("a signature   {signature:6.1} us");
    println!("a proof       {proof:6.1} us   {:.2} x the signature in it", proof / signature);
    println!("a new key     {generated:6.1} us   once per grant");
}
