block 1
terminal demo 'Ready.' 2
ctrl_c demo

# The second terminal's command is the one that the first has printed.
terminal sandbox 'connected-apps' 3
pat=$(sed -n 's/.* only in here: //p' "$WORK/sandbox")
says "$(sed "s/flx_pat_…/$pat/" "$BLOCKS/sh-4")" "$WORK/sandbox"
terminal sidecar 'is listening' 4 "s/flx_pat_…/$pat/"
block 5 >answer
[[ $(header flexslot-proxy-credential answer) == pat && -n $(header flexslot-proxy-request-id answer) ]] || fail "$(cat answer)"

cp "$BLOCKS/python-1" decks.py
block 6 >decks
[[ $(wc -l <decks) == 3 ]] || fail "$(cat decks)"
ctrl_c sidecar

cp "$BLOCKS/toml-1" proxy.toml
asked 7 'PAT of acme: ' "$pat" >stored
says 'flexslot-proxy.db for http://127.0.0.1:3541' stored
[[ -e flexslot-proxy.key ]]
terminal sidecar 'is listening' 8
block 9 >decks
says '"count":3' decks

seen 10 >connected
shows text-1 connected
# Taken notice of within two seconds.
until [[ $(curl -s -o /dev/null -w '%{http_code}' -H 'X-Flexslot-Tenant: beta' http://localhost:3539/api/public/v1/decks/) == 200 ]]; do :; done
block 11 >seen
says 'Connected to Flexslot as @george' seen
says '"count":3' seen

block 12 >answer
says '200 OK' answer
block 13 "s/d067bdbd-1/$(header flexslot-proxy-request-id answer)/" >told
says 'refresh' told
says '200, handed over whole' told

block 14
bash -n ~/.local/share/bash-completion/completions/flexslot-proxy
says '.TH flexslot-proxy' ~/.local/share/man/man1/flexslot-proxy.1
