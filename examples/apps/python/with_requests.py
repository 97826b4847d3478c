"""Lists a tenant's decks through the sidecar, with requests."""

import os
import sys
from urllib.parse import urljoin, urlsplit

import requests

BASE = os.environ.get("FLEXSLOT_URL", "http://localhost:3539/api/public/v1")
TENANT = os.environ.get("FLEXSLOT_TENANT", "acme")
TIMEOUT = (5, 75)  # to connect; between two bytes of the answer, longer than the sidecar itself waits for Flexslot

flexslot = requests.Session()
flexslot.headers["X-Flexslot-Tenant"] = TENANT
flexslot.trust_env = False  # HTTP_PROXY and ~/.netrc are not for the sidecar


def get(url):
    answer = flexslot.get(url, timeout=TIMEOUT)
    if answer.headers.get("Content-Type", "").startswith("application/problem+json"):
        problem = answer.json()  # the sidecar's own
        sys.exit(f"{problem['code']}: {problem['detail']} (request {problem['request_id']})")
    answer.raise_for_status()  # Flexslot's own
    return answer.json()


def decks():
    url = f"{BASE}/decks/"
    while url:
        page = get(url)
        yield from page["results"]
        # The link names Flexslot: keep its path and its query.
        following = page["next"] and urlsplit(page["next"])
        url = following and urljoin(BASE, f"{following.path}?{following.query}")


print(f"{len(list(decks()))} decks")
