#!/bin/sh
# Asks for a tenant's decks through the sidecar, with curl: the first page, as Flexslot sends it.
set -eu

base=${FLEXSLOT_URL:-http://localhost:3539/api/public/v1}
tenant=${FLEXSLOT_TENANT:-acme}

# A status of 400 and more is a failure (exit status 22), and its body is shown all the same: the sidecar's problem or Flexslot's answer.
# 75 s are longer than the sidecar itself waits for Flexslot. http_proxy is not for the sidecar.
exec curl --silent --show-error --fail-with-body --connect-timeout 5 --max-time 75 --noproxy '*' \
    --header "X-Flexslot-Tenant: $tenant" "$base/decks/"
