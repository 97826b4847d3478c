"""An app that shows how many decks there are. It knows no credential: it calls the sidecar."""

import json
import os
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FLEXSLOT = os.environ.get("FLEXSLOT_URL", "http://localhost:3539/api/public/v1")

# Calls for localhost go there, whatever HTTP_PROXY says.
flexslot = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def decks():
    """What to show of the decks, and with which status."""
    try:
        with flexslot.open(f"{FLEXSLOT}/decks/", timeout=30) as answer:
            return 200, f"{json.load(answer)['count']} decks"
    except urllib.error.HTTPError as failure:
        if failure.headers.get_content_type() == "application/problem+json":
            problem = json.load(failure)
            return 502, f"{problem['code']}: {problem['detail']}"
        return 502, f"Flexslot answered {failure.code}"
    except OSError as failure:
        return 502, f"the sidecar cannot be reached: {failure}"


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        status, text = decks()
        body = f"{text}\n".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Page).serve_forever()
