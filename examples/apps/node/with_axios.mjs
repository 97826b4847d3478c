// Lists a tenant's decks through the sidecar, with axios.

import axios from "axios";

const BASE = process.env.FLEXSLOT_URL ?? "http://localhost:3539/api/public/v1";
const TENANT = process.env.FLEXSLOT_TENANT ?? "acme";

const flexslot = axios.create({
  headers: { "X-Flexslot-Tenant": TENANT },
  timeout: 75_000, // longer than the sidecar itself waits for Flexslot
  proxy: false, // HTTP_PROXY is not for the sidecar
});

async function* decks() {
  let url = `${BASE}/decks/`;
  while (url) {
    const { data: page } = await flexslot.get(String(url));
    yield* page.results;
    // The link names Flexslot: keep its path and its query.
    const following = page.next && new URL(page.next);
    url = following && new URL(following.pathname + following.search, BASE);
  }
}

// axios throws for every status of 400 and more, and has parsed the body.
function words({ message, response }) {
  if (response?.headers["content-type"]?.startsWith("application/problem+json")) {
    const problem = response.data; // the sidecar's own
    return `${problem.code}: ${problem.detail} (request ${problem.request_id})`;
  }
  return message; // Flexslot's own, or no answer
}

try {
  let count = 0;
  for await (const _ of decks()) count += 1;
  console.log(`${count} decks`);
} catch (error) {
  console.error(words(error));
  process.exitCode = 1;
}
