sandbox
configured
echo "$PAT" | flexslot-proxy tenant set-pat acme
behind sidecar 'is listening' flexslot-proxy
curl -s -i http://localhost:3539/t/acme/api/public/v1/decks/ >answer
block 'check --online' "s/d067bdbd-1/$(header flexslot-proxy-request-id answer)/" >told
says '200, handed over whole' told
says 'acme' told
! grep FAIL told || fail "$(cat told)"
