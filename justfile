# The steps of CI, one by one. What a step does stands in its script alone, which .ci/run calls too.

# What there is
default:
    @just --list --unsorted

# Formats the sources
fmt:
    cargo fmt

# Format, lints, and rustdoc without broken links
lint:
    scripts/lint

# Licences, banned crates, sources
deny:
    scripts/deny

# All tests, or those that the arguments choose
test *ARGS:
    scripts/test {{ARGS}}

# Writes what the documents have out of the program: the tables of keys, the recorded session
docs:
    UPDATE_DOCS=1 scripts/test --test it -- docs::configuration docs::commands::the_recorded

# The demo, as the README has it
smoke:
    scripts/smoke-demo

# What a request costs, in counts that do not depend on the machine; fails where one has risen
gate *ARGS:
    scripts/gate {{ARGS}}

# Everything that a change has to pass
ci:
    .ci/run

# Records how often each part of the program runs, for the release to be laid out by: docs/releasing.md
profile:
    scripts/profile

# The container image, as an OCI archive
image ARCHIVE='target/flexslot-proxy.oci.tar':
    scripts/image {{ARCHIVE}}

# The Debian package
deb PACKAGE='target/flexslot-proxy.deb':
    scripts/deb {{PACKAGE}}

# A release of what is committed, or with --dry-run everything but the tag: docs/releasing.md
release *ARGS:
    scripts/release {{ARGS}}

# What a million tenants cost: importing, listing, serving
million *ARGS:
    scripts/million {{ARGS}}

# What cards cost with fifty tenants and with a million, on each engine
cards *ARGS:
    cargo bench --locked --bench cards -- {{ARGS}}

# A day of a million tenants on fifty sidecars, on virtual time
day *ARGS:
    cargo bench --locked --bench day -- {{ARGS}}

# What a request costs beside nginx, haproxy and a byte relay: docs/performance.md
compare *ARGS:
    scripts/compare {{ARGS}}

# What many tenants cost: storms, a million of them, first requests, ten thousand refreshes: docs/performance.md
scale *ARGS:
    scripts/scale {{ARGS}}

# What single steps of a request cost, or those whose names have a text in them: docs/performance.md
micro *ARGS:
    cargo bench --locked --bench micro -- {{ARGS}}

# What clients see under load and faults, and how long recovery takes; all scenarios, or those that are named: docs/operations.md
faults *ARGS:
    scripts/faults {{ARGS}}

# Mixed load and random faults, for an hour or so many minutes
soak *MINUTES:
    scripts/soak {{MINUTES}}

# Fuzzes one target, or all
fuzz TARGET='all' SECONDS='60':
    scripts/fuzz {{TARGET}} {{SECONDS}}

# Takes out what a module that decides about trust does, one thing at a time, or all of them by shards such as 0/8: docs/security.md
mutants MODULE='all' SHARD='0/1':
    scripts/mutants {{MODULE}} {{SHARD}}
