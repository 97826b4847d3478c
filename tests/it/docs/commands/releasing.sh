for words in 'release --ci-passed' 'git checkout' 'CARGO_PROFILE_RELEASE_STRIP'; do
    elsewhere "$words" 'it builds releases; tests of packaging hold what it refuses and what it makes'
done
elsewhere 'scripts/release --dry-run' 'the same'
