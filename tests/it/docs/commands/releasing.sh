for words in 'release --ci-passed' 'git checkout' 'CARGO_PROFILE_RELEASE_STRIP'; do
    elsewhere "$words" 'it builds releases; tests of packaging hold what it refuses and what it makes'
done
elsewhere 'scripts/release --dry-run' 'the same'
elsewhere 'scripts/profile' 'it builds the program with counters and runs it for minutes'
