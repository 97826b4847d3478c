// A settings page with "Connect Flexslot", in Express. docs/embedding.md goes through it.
//
// The app knows its own users, and no credential of Flexslot: the sidecar keeps those. A user's tenant is named after the user's id.

import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import session from "cookie-session";
import express from "express";

const ADMIN = process.env.FLEXSLOT_ADMIN ?? "http://127.0.0.1:3540";
const PROXY = process.env.FLEXSLOT_PROXY ?? "http://127.0.0.1:3539";
const TOKEN = readFileSync(process.env.FLEXSLOT_ADMIN_TOKEN_FILE, "utf8").trim();
const PORT = Number(process.env.PORT ?? 5000);

const app = express();
app.use(session({ name: "app", secret: process.env.APP_SECRET_KEY ?? randomBytes(32).toString("hex"), sameSite: "lax" }));

/** Asks the sidecar's admin listener. The token stays on the server. */
async function admin(method, path, body) {
  const headers = { Authorization: `Bearer ${TOKEN}`, ...(body && { "Content-Type": "application/json" }) };
  const answer = await fetch(`${ADMIN}/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
  if (answer.status === 404 && method === "GET") return null;
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  const text = await answer.text();
  return text ? JSON.parse(text) : null;
}

/** The tenant of whoever is signed in to this app. */
const tenant = (req) => `user-${req.session.user}`;

// Forms of other sites are refused. Your framework has its own way for this; use that.
app.use((req, res, next) => {
  const site = req.get("Sec-Fetch-Site") ?? "same-origin";
  if (req.method === "POST" && site !== "same-origin") return res.status(403).send("Not from this site.");
  next();
});

// --- Connect Flexslot: these twenty lines are all that an app needs ---

app.post("/settings/flexslot/connect", async (req, res) => {
  const return_to = `${req.protocol}://${req.get("Host")}/settings/flexslot/return`;
  const started = await admin("POST", `/tenants/${tenant(req)}/connect-sessions`, { return_to });
  req.session.flexslot_session = started.id; // it is this user who has begun it
  res.redirect(303, started.url);
});

app.get("/settings/flexslot/return", async (req, res) => {
  const begun = req.session.flexslot_session;
  delete req.session.flexslot_session;
  if (!begun || req.query.flexslot_session !== begun) {
    return res.status(400).send("This connection was not begun here. Begin it on your settings page.");
  }
  if (req.query.flexslot_result === "ok") {
    await admin("POST", `/connect-sessions/${begun}/complete`, { code: req.query.flexslot_code });
  }
  res.redirect(303, "/settings");
});

app.post("/settings/flexslot/disconnect", async (req, res) => {
  await admin("POST", `/tenants/${tenant(req)}/disconnect`);
  res.redirect(303, "/settings");
});

// --- The rest stands for your app ---

app.get("/settings", async (req, res) => {
  req.session.user ??= randomBytes(4).toString("hex"); // your sign-in goes here
  res.send(page(await admin("GET", `/tenants/${tenant(req)}`)));
});

// Calls Flexslot as the user who is signed in: no credential, one header.
app.get("/decks", async (req, res) => {
  const answer = await fetch(`${PROXY}/api/public/v1/decks/`, { headers: { "X-Flexslot-Tenant": tenant(req) } });
  res.status(answer.status).type(answer.headers.get("Content-Type")).send(await answer.text());
});

function page(card) {
  const form = (action, text) => `<form method="post" action="/settings/flexslot/${action}"><button>${text}</button></form>`;
  const ask = "Disconnect from Flexslot? Your synced data will stay; future syncs will stop until you reconnect.";
  const body = ["connected", "expiring"].includes(card?.state)
    ? `<p>✓ Connected to Flexslot as @${escape(card.username ?? "")}</p>
       <ul>${card.scopes.map((scope) => `<li>${escape(scope.description)}</li>`).join("")}</ul>
       <p><a href="${escape(card.manage_url)}">Manage on Flexslot</a></p>
       ${form("disconnect", "Disconnect").replace("<form", `<form onsubmit="return confirm('${ask}')"`)}`
    : ["reconnect_required", "error"].includes(card?.state)
      ? `<p>⚠ ${escape(card.detail ?? "Connection expired. Please reconnect.")}</p>${form("connect", "Reconnect Flexslot")}`
      : `<p>Connect your Flexslot account to sync decks and sideboard guides.</p>${form("connect", "Connect Flexslot")}`;
  return `<!doctype html><html lang="en"><title>Settings</title><h1>Integrations</h1><h2>Flexslot</h2>${body}</html>`;
}

function escape(text) {
  return text.replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);
}

app.listen(PORT, "127.0.0.1", () => console.log(`http://localhost:${PORT}/settings`));
