//! The check of the request target.

use std::hint::black_box;

use criterion::Criterion;
use flexslot_proxy::{
    credential::PathClass,
    proxy::path::{PathError, Target},
};
use http::uri::PathAndQuery;

pub(crate) fn check(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("path");
    for (name, path) in [
        ("plain", "/api/public/v1/decks/42?page=2"),
        ("with a tenant", "/t/acme/api/public/v1/decks/42?page=2"),
        // Whatever has an escape of an escape or of a slash is read in four ways.
        ("with escapes", "/api/public/v1/cards/Lightning%20Bolt%2FFoil%2525/prints/?q=%C3%A9"),
        (
            "long",
            "/t/acme/api/public/v1/decks/42/guide/sections/7/entries/12/?include=cards,prices&page=2&page_size=100",
        ),
    ] {
        let target = PathAndQuery::from_static(path);
        assert_eq!(Target::check(&target).map(|target| target.class()), Ok(PathClass::Ordinary), "{name}");
        group.bench_function(name, |bencher| bencher.iter(|| Target::check(black_box(&target))));
    }
    let denied = PathAndQuery::from_static("/api/public/v1/oauth/token/");
    assert_eq!(Target::check(&denied).err(), Some(PathError::Denied));
    group.bench_function("denied", |bencher| bencher.iter(|| Target::check(black_box(&denied))));
    group.finish();
}
