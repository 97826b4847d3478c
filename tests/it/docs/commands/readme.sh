elsewhere 1 'scripts/smoke-demo runs it, and pastes every line that it prints'
elsewhere 2 'this is one of its tests'
elsewhere 3 'it builds the release once more, for minutes; scripts/gate builds the same'

sandbox
terminal sidecar 'is listening' 4 "s/flx_pat_…/$PAT/"
block 5 >decks
says '"count":3' decks
ctrl_c sidecar

configured
echo "$PAT" >acme.pat
block 6 >listed 2>&1
says "$FLEXSLOT_PROXY_UPSTREAM" listed
says acme listed
seen 7 >connected
shows text-2 connected

mkdir /run/flexslot-proxy
FLEXSLOT_PROXY_LISTEN=127.0.0.1:3539,unix:/run/flexslot-proxy/proxy.sock \
    behind sidecar 'is listening' flexslot-proxy
block 9 >decks
[[ $(grep -o '"count":3' decks | wc -l) == 3 ]] || fail "$(cat decks)"
asked 8 '[y/N]' y >ended
says '@george' ended
says 'Disconnected acme' ended
