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

# The demo, as the README has it
smoke:
    scripts/smoke-demo

# Everything that a change has to pass
ci:
    .ci/run

# Fuzzes one target, or all
fuzz TARGET='all' SECONDS='60':
    scripts/fuzz {{TARGET}} {{SECONDS}}
