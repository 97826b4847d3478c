elsewhere 'scripts/test' 'it runs one of the tests, of which this is one'
elsewhere 'scripts/fuzz all' 'an hour, with instrumented builds; the tests play the seeds of every target'
[[ -e $CRATE/fuzz/fuzz_targets/sidecar.rs ]]
grep -q -r 'fn other_hosts_are_denied(' "$CRATE/src"
