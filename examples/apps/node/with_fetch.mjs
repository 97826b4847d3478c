// Lists a tenant's decks through the sidecar, with fetch, which Node has built in.

const BASE = process.env.FLEXSLOT_URL ?? "http://localhost:3539/api/public/v1";
const TENANT = process.env.FLEXSLOT_TENANT ?? "acme";
const TIMEOUT = 75_000; // for all of it; longer than the sidecar itself waits for Flexslot

async function get(url) {
  const answer = await fetch(url, {
    headers: { "X-Flexslot-Tenant": TENANT },
    signal: AbortSignal.timeout(TIMEOUT),
  });
  if (answer.headers.get("Content-Type")?.startsWith("application/problem+json")) {
    const problem = await answer.json(); // the sidecar's own
    throw new Error(`${problem.code}: ${problem.detail} (request ${problem.request_id})`);
  }
  if (!answer.ok) throw new Error(`Flexslot answered ${answer.status}: ${await answer.text()}`);
  return answer.json();
}

async function* decks() {
  let url = `${BASE}/decks/`;
  while (url) {
    const page = await get(url);
    yield* page.results;
    // The link names Flexslot: keep its path and its query.
    const following = page.next && new URL(page.next);
    url = following && new URL(following.pathname + following.search, BASE);
  }
}

try {
  let count = 0;
  for await (const _ of decks()) count += 1;
  console.log(`${count} decks`);
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
