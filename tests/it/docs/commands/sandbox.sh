terminal sandbox 'connected-apps' 'flexslot-proxy sandbox'
PAT=$(sed -n 's/.* only in here: //p' "$WORK/sandbox")
behind sidecar 'is listening' env FLEXSLOT_PAT="$PAT" flexslot-proxy --upstream http://127.0.0.1:3541
block 'page_size=2' >decks
says '?page=2&page_size=2"' decks
ctrl_c sidecar
block 'after_processing'
block 'flx_client_bound' >bound
says dpop_jwk bound
ctrl_c sandbox

(block 'set -eu') >counted
says '{"refreshes":1,"replays":0}' counted
