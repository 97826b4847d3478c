# The steps of CI, one by one. Each calls what CI calls.

# What there is
default:
    @just --list --unsorted

# Formats the sources
fmt:
    cargo fmt

# Lints, and documentation without broken links
lint:
    cargo fmt --check
    cargo clippy --all-targets --locked -- -D warnings
    RUSTDOCFLAGS='-D warnings' cargo doc --no-deps --locked

# Licences, banned crates, sources
deny:
    scripts/deny

# All tests, or those that the arguments choose
test *ARGS:
    scripts/test {{ARGS}}

# The demo, as the README has it
smoke:
    scripts/smoke-demo

# Everything that a change has to pass
ci:
    .ci/run

# Fuzzes one target, or all
fuzz TARGET='all' SECONDS='60':
    scripts/fuzz {{TARGET}} {{SECONDS}}
