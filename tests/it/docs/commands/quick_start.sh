block 'mkdir quick-start'
terminal demo 'Ready.' 'demo'
(
    eval "$(sed -n 's/^ *\(export .*\)$/\1/p' "$WORK/demo")"
    curl -i -H 'x-flexslot-tenant: revoked' http://localhost:3539/api/public/v1/decks/ >answer
    explain=$(sed -n 's/^ *\([^ ]* explain\) ID$/\1/p' "$WORK/demo")
    $explain "$(header flexslot-proxy-request-id answer)" >told
    says reconnect_required told
    flexslot-proxy status >seen || true
    says revoked seen
)
ctrl_c demo

# The second terminal's command is the one that the first has printed.
terminal sandbox 'connected-apps' 'flexslot-proxy sandbox'
pat=$(sed -n 's/.* only in here: //p' "$WORK/sandbox")
says "$(sed "s/flx_pat_…/$pat/" "$(block_with sh FLEXSLOT_PAT=)")" "$WORK/sandbox"
terminal sidecar 'is listening' 'FLEXSLOT_PAT=' "s/flx_pat_…/$pat/"
block 'curl -i http' >answer
[[ $(header flexslot-proxy-credential answer) == pat && -n $(header flexslot-proxy-request-id answer) ]] || fail "$(cat answer)"

cp "$(block_with python requests)" decks.py
block 'decks.py' >decks
[[ $(wc -l <decks) == 3 ]] || fail "$(cat decks)"
ctrl_c sidecar

cp "$(block_with toml upstream)" proxy.toml
asked 'set-pat acme' 'PAT of acme: ' "$pat" >stored
says 'flexslot-proxy.db for http://127.0.0.1:3541' stored
[[ -e flexslot-proxy.key ]]
terminal sidecar 'is listening' 'flexslot-proxy'
block 'Tenant: acme' >decks
says '"count":3' decks

seen 'connect beta' >connected
shows 'Connected beta' connected
# Taken notice of within two seconds.
until [[ $(curl -s -o /dev/null -w '%{http_code}' -H 'X-Flexslot-Tenant: beta' http://localhost:3539/api/public/v1/decks/) == 200 ]]; do :; done
block 'flexslot-proxy status' >seen
says 'Connected to Flexslot as @george' seen
says '"count":3' seen

block 'users/george/expire' >answer
says '200 OK' answer
block 'explain' "s/d067bdbd-1/$(header flexslot-proxy-request-id answer)/" >told
says 'refresh' told
says '200, handed over whole' told

block 'completions'
bash -n ~/.local/share/bash-completion/completions/flexslot-proxy
says '.TH flexslot-proxy' ~/.local/share/man/man1/flexslot-proxy.1
