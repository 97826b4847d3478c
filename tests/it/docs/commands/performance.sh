elsewhere 'just compare' 'it builds the release and measures for a quarter of an hour'
elsewhere 'just scale' 'it builds the release and measures for half an hour'
elsewhere 'just micro' 'it builds the release and measures'
for command in compare micro scale; do
    grep -q "^$command " "$CRATE/justfile" || fail "no recipe $command"
done
