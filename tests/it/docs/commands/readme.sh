elsewhere 'cargo run' 'scripts/smoke-demo runs it, and pastes every line that it prints'
elsewhere 'scripts/test' 'this is one of its tests'
elsewhere 'cargo install' 'it builds the release once more, for minutes; scripts/gate builds the same'

sandbox
terminal sidecar 'is listening' 'FLEXSLOT_PAT=' "s/flx_pat_…/$PAT/"
block 'curl http://localhost:3539/api' >decks
says '"count":3' decks
ctrl_c sidecar

# An old script with another base URL, which follows the links to next pages.
mkdir old && cd old
cp "$(block_with toml rewrite_urls)" proxy.toml
sed -e '/X-Flexslot-Tenant/d' -e 's|/decks/"|/decks/?page_size=2"|' "$(block_with python requests)" >script.py
behind script 'is listening' env FLEXSLOT_PAT="$PAT" flexslot-proxy
python3 script.py >names
[[ $(wc -l <names) == 3 ]] || fail "$(cat names)"
ctrl_c script
cd ..

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
