"""Lists a tenant's decks through the sidecar, with httpx."""

import os
import sys

import httpx

BASE = os.environ.get("FLEXSLOT_URL", "http://localhost:3539/api/public/v1")
TENANT = os.environ.get("FLEXSLOT_TENANT", "acme")

flexslot = httpx.Client(
    headers={"X-Flexslot-Tenant": TENANT},
    timeout=httpx.Timeout(75, connect=5),  # longer than the sidecar itself waits for Flexslot
    trust_env=False,  # HTTP_PROXY is not for the sidecar
)


def get(url):
    answer = flexslot.get(url)
    if answer.headers.get("Content-Type", "").startswith("application/problem+json"):
        problem = answer.json()  # the sidecar's own
        sys.exit(f"{problem['code']}: {problem['detail']} (request {problem['request_id']})")
    answer.raise_for_status()  # Flexslot's own
    return answer.json()


def decks():
    url = httpx.URL(f"{BASE}/decks/")
    while url:
        page = get(url)
        yield from page["results"]
        # The link names Flexslot: keep its path and its query.
        url = page["next"] and url.copy_with(raw_path=httpx.URL(page["next"]).raw_path)


print(f"{len(list(decks()))} decks")
