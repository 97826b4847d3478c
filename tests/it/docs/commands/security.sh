elsewhere 'scripts/test' 'it runs one of the tests, of which this is one'
grep -q -r 'fn other_hosts_are_denied(' "$CRATE/src"
