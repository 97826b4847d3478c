"""A settings page with "Connect Flexslot", in Flask. docs/embedding.md goes through it.

The app knows its own users, and no credential of Flexslot: the sidecar keeps those. A user's tenant is named after the user's id.
"""

import os
import secrets

import requests
from flask import Flask, abort, redirect, render_template_string, request, session, url_for

ADMIN = os.environ.get("FLEXSLOT_ADMIN", "http://127.0.0.1:3540")
PROXY = os.environ.get("FLEXSLOT_PROXY", "http://127.0.0.1:3539")
with open(os.environ["FLEXSLOT_ADMIN_TOKEN_FILE"]) as file:
    TOKEN = file.read().strip()

app = Flask(__name__)
app.secret_key = os.environ.get("APP_SECRET_KEY") or secrets.token_hex()
app.config.update(SESSION_COOKIE_NAME="app", SESSION_COOKIE_SAMESITE="Lax")


def admin(method, path, **options):
    """Asks the sidecar's admin listener. The token stays on the server."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    answer = requests.request(method, f"{ADMIN}/v1{path}", headers=headers, timeout=30, **options)
    if answer.status_code == 404 and method == "GET":
        return None
    answer.raise_for_status()
    return answer.json() if answer.content else None


def tenant():
    """The tenant of whoever is signed in to this app."""
    return f"user-{session['user']}"


# --- Connect Flexslot: these twenty lines are all that an app needs ---


@app.post("/settings/flexslot/connect")
def connect():
    started = admin("POST", f"/tenants/{tenant()}/connect-sessions", json={"return_to": url_for("returned", _external=True)})
    session["flexslot_session"] = started["id"]  # it is this user who has begun it
    return redirect(started["url"], 303)


@app.get("/settings/flexslot/return")
def returned():
    begun = session.pop("flexslot_session", None)
    if not begun or request.args.get("flexslot_session") != begun:
        abort(400, "This connection was not begun here. Begin it on your settings page.")
    if request.args.get("flexslot_result") == "ok":
        admin("POST", f"/connect-sessions/{begun}/complete", json={"code": request.args["flexslot_code"]})
    return redirect(url_for("settings"), 303)


@app.post("/settings/flexslot/disconnect")
def disconnect():
    admin("POST", f"/tenants/{tenant()}/disconnect")
    return redirect(url_for("settings"), 303)


# --- The rest stands for your app ---


@app.before_request
def only_our_own_forms():
    """Forms of other sites are refused. Your framework has its own way for this; use that."""
    if request.method == "POST" and request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        abort(403)


@app.get("/settings")
def settings():
    session.setdefault("user", secrets.token_hex(4))  # your sign-in goes here
    return render_template_string(PAGE, card=admin("GET", f"/tenants/{tenant()}"))


@app.get("/decks")
def decks():
    """Calls Flexslot as the user who is signed in: no credential, one header."""
    headers = {"X-Flexslot-Tenant": tenant()}
    answer = requests.get(f"{PROXY}/api/public/v1/decks/", headers=headers, timeout=60)
    return answer.content, answer.status_code, {"Content-Type": answer.headers["Content-Type"]}


PAGE = """<!doctype html>
<html lang="en"><title>Settings</title>
<h1>Integrations</h1>
<h2>Flexslot</h2>
{% if card and card.state in ("connected", "expiring") %}
  <p>✓ Connected to Flexslot as @{{ card.username }}</p>
  <ul>{% for scope in card.scopes %}<li>{{ scope.description }}</li>{% endfor %}</ul>
  <p><a href="{{ card.manage_url }}">Manage on Flexslot</a></p>
  <form method="post" action="/settings/flexslot/disconnect"
        onsubmit="return confirm('Disconnect from Flexslot? Your synced data will stay; future syncs will stop until you reconnect.')">
    <button>Disconnect</button></form>
{% elif card and card.state in ("reconnect_required", "error") %}
  <p>⚠ {{ card.detail or "Connection expired. Please reconnect." }}</p>
  <form method="post" action="/settings/flexslot/connect"><button>Reconnect Flexslot</button></form>
{% else %}
  <p>Connect your Flexslot account to sync decks and sideboard guides.</p>
  <form method="post" action="/settings/flexslot/connect"><button>Connect Flexslot</button></form>
{% endif %}
</html>
"""
