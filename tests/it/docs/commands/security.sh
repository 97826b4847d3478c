elsewhere 'scripts/test' 'it runs one of the tests, of which this is one'
elsewhere 'scripts/fuzz all' 'an hour, with instrumented builds; the tests play the seeds of every target'
elsewhere 'scripts/mutants guard' 'hours: a build for each mutant'
[[ -e $CRATE/.cargo/mutants.toml && -e $CRATE/src/proxy/guard.rs ]]
[[ -e $CRATE/fuzz/fuzz_targets/sidecar.rs ]]
grep -q -r 'fn other_hosts_are_denied(' "$CRATE/src"
