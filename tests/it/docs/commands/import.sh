sandbox
configured
curl -s -X POST http://127.0.0.1:3541/_sandbox/grants -d '{"user":"ada","client_id":"flx_client_sandbox"}' >grant.json
jq -c '{tenant: "acme", access_token, refresh_token, scope, expires_at: (now + .expires_in | floor)}' grant.json >tokens.jsonl
block 'tenant import' >imported 2>&1
behind sidecar 'is listening' flexslot-proxy
curl -s http://localhost:3539/t/acme/api/public/v1/decks/ >decks
says '"count":3' decks
