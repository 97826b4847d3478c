//! Which credential a request of a warm tenant gets.

use std::hint::black_box;

use criterion::Criterion;
use flexslot_proxy::{
    credential::{Ask, Credentials, PathClass, Picked, Resend, Resource},
    model::{CredentialKind, Scope, TenantId, trace::Steps},
};
use http::Method;
use tokio::time::Instant;

use crate::{
    at_once,
    tenants::{self, Has},
};

/// A scope that the grants have, and one that they lack.
const COVERED: [&str; 2] = ["decks", "42"];
const LACKING: [&str; 2] = ["sideboards", "42"];

pub(crate) fn warm(criterion: &mut Criterion) {
    let store = tenants::store();
    let kinds = [("pat", Has::Pat), ("grant", Has::Grant), ("both", Has::Both), ("bound", Has::Bound)];
    let tenants = kinds.map(|(name, has)| tenants::add(&store, name, has));
    let door = tenants::door(store);
    let [pat, grant, both, bound] = &tenants;

    let mut group = criterion.benchmark_group("pick");
    let mut bench = |name: &str, tenant: &TenantId, segments, kind| {
        // The first request loads the tenant, and shows that the right thing is measured.
        assert_eq!(pick(&door, tenant, segments).kind, kind, "{name}");
        group.bench_function(name, |bencher| {
            bencher.iter(|| black_box(pick(&door, black_box(tenant), segments)));
        });
    };
    bench("a PAT", pat, COVERED, CredentialKind::Pat);
    bench("a grant", grant, COVERED, CredentialKind::OAuth);
    bench("a grant, with a PAT beside it", both, COVERED, CredentialKind::OAuth);
    bench("a PAT, for a scope that the grant lacks", both, LACKING, CredentialKind::Pat);
    bench("a bound grant, before its proof", bound, COVERED, CredentialKind::OAuth);
    group.finish();
}

/// As the corridor does it, from the scope that is needed on.
fn pick(door: &Credentials, tenant: &TenantId, segments: [&str; 2]) -> Picked {
    let ask = Ask {
        tenant,
        need: Scope::needed(&Method::GET, segments),
        class: PathClass::Ordinary,
        resend: Resend::Possible,
        resource: Resource { method: &Method::GET, path: "/api/public/v1/decks/42" },
    };
    let mut steps = Steps::since(Instant::now());
    at_once(door.pick(&ask, &mut steps)).expect("there is a credential")
}
