elsewhere 'cargo run' 'scripts/smoke-demo runs it, and pastes every line that it prints'
elsewhere 'scripts/test' 'this is one of its tests'
elsewhere 'cargo install' 'it builds the release once more, for minutes; scripts/gate builds the same'

sandbox
terminal sidecar 'is listening' 'FLEXSLOT_PAT=' "s/flx_pat_…/$PAT/"
block 'curl http://localhost:3539/api' >decks
says '"count":3' decks
ctrl_c sidecar

configured
echo "$PAT" >acme.pat
block 'tenant set-pat' >listed 2>&1
says "$FLEXSLOT_PROXY_UPSTREAM" listed
says acme listed
seen 'flexslot-proxy connect acme' >connected
shows 'Connected acme' connected

mkdir /run/flexslot-proxy
FLEXSLOT_PROXY_LISTEN=127.0.0.1:3539,unix:/run/flexslot-proxy/proxy.sock \
    behind sidecar 'is listening' flexslot-proxy
block '--unix-socket' >decks
[[ $(grep -o '"count":3' decks | wc -l) == 3 ]] || fail "$(cat decks)"
asked 'flexslot-proxy disconnect' '[y/N]' y >ended
says '@george' ended
says 'Disconnected acme' ended
