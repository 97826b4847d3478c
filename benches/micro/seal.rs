//! What the store's records cost, without the engine: a value, and a whole record by way of a store in memory.

use std::{hint::black_box, time::Instant};

use criterion::Criterion;
use flexslot_proxy::{
    model::{
        Clock, Grant, GrantState, Random, Secret, SystemClock,
        token::{Attempt, Intent, Owner},
    },
    store::{
        Cas, TenantRecord,
        backend::Revision,
        seal::{Beside, KeyRing, Place, Sealer},
    },
};

use crate::{
    at_once,
    tenants::{self, Has},
};

pub(crate) fn records(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("seal");
    let random = Random::system();
    let sealer = Sealer::new(KeyRing::ephemeral(&random), random);
    let place = Place { kind: "grant", name: "acme", field: "access_token", beside: Beside::of(b"{}") };
    let token = Secret::new("a".repeat(64));
    let sealed = sealer.seal(place, &token);
    group.bench_function("a token", |bencher| bencher.iter(|| sealer.seal(black_box(place), &token)));
    group.bench_function("a token, opened", |bencher| {
        bencher.iter(|| sealer.open(black_box(place), &sealed).expect("it opens"));
    });

    let store = tenants::store();
    let tenant = tenants::add(&store, "acme", Has::Grant);
    group.bench_function("a record, read", |bencher| {
        bencher.iter(|| at_once(store.load(black_box(&tenant))).expect("it opens"));
    });
    group.bench_function("a record, written", |bencher| {
        bencher.iter_custom(|times| {
            (0..times)
                .map(|_| {
                    // A write has to name the row as it is; to read it is not what is measured.
                    let record = at_once(store.load(&tenant)).expect("it opens");
                    let (revision, grant, intent) = intent(record);
                    #[allow(clippy::disallowed_methods, reason = "a benchmark measures real time")]
                    let began = Instant::now();
                    let written = at_once(store.begin(&tenant, revision, &grant, &intent)).expect("taken");
                    let took = began.elapsed();
                    assert_eq!(written, Cas::Stored);
                    took
                })
                .sum()
        });
    });
    group.finish();
}

/// What is written before a token request: the grant as it is, and that its refresh token is about to be presented.
fn intent(record: TenantRecord) -> (Revision, Grant, Intent) {
    let (GrantState::Connected(grant) | GrantState::Uncertain(grant, _)) = record.grant else {
        unreachable!("it has a grant")
    };
    let intent = Intent {
        grant: grant.id,
        version: grant.version,
        refresh_hash: grant.tokens.refresh_hash(),
        owner: Owner { host: "4c1f0b7e/web-1".into(), instance: format!("{:032x}", 1) },
        at: SystemClock.now(),
        attempt: Attempt::First,
    };
    (record.revision.expect("it has a row"), grant, intent)
}
