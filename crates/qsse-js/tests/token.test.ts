/** Who a client is, and what happens when that ends. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { Code, connect, ConnectError } from "../src/index.js";
import { Hub } from "./hub.js";

const LONG = "a-token-that-lasts";

/** Starts a server with a token that lasts, and one that ends in `seconds`. */
function start(seconds: number): Promise<{ hub: Hub; short: string }> {
  const short = "a-token-that-soon-ends";
  const ends = new Date(Date.now() + seconds * 1_000).toISOString();
  const entry = (name: string, token: string, more: string): string =>
    `[[token]]\nname = "${name}"\ntoken = "${token}"\nsubscribe = ["ride.*"]\npublish = ["ride.*"]\n${more}\n`;
  return Hub.start((folder) => {
    writeFileSync(
      join(folder, "tokens.toml"),
      entry("long", LONG, "") + entry("short", short, `expires = "${ends}"`),
      { mode: 0o600 },
    );
    return ["--tokens", "tokens.toml"];
  }).then((hub) => ({ hub, short }));
}

test("a refused token says so and is final", async () => {
  const { hub } = await start(60);
  for (const token of ["wrong", undefined]) {
    const options = token === undefined ? {} : { token, retry: true };
    await assert.rejects(connect(hub.url, options), (error) => {
      assert(error instanceof ConnectError && error.reason === "refused" && !error.isRetryable);
      assert.equal(error.code, Code.NOT_AUTHORISED);
      assert.equal(error.status, 401);
      assert(!error.message.includes("wrong"), "a token is a secret");
      return true;
    });
  }
  await hub.remove();
});

test("what a token does not allow is refused", async () => {
  const { hub } = await start(60);
  const client = await connect(hub.url, { token: LONG });
  await assert.rejects(client.publish("other", ""), { reason: "refused", code: Code.NOT_AUTHORISED });
  await assert.rejects(client.subscribe("other").next(), { code: Code.NOT_AUTHORISED });
  client.close();
  await hub.remove();
});

test("a function is asked again when the token ends, and nothing is missed", async () => {
  const { hub, short } = await start(1.5);
  let asked = 0;
  const token = async (): Promise<string> => {
    asked += 1;
    return asked === 1 ? short : LONG;
  };
  const client = await connect(hub.url, { token });
  const publisher = await connect(hub.url, { token: LONG });
  const subscription = client.subscribe("ride.*");
  await subscription.ready();
  for (let n = 0; asked === 1 || n < 20; n += 1) {
    await publisher.publish("ride.7", String(n));
    const item = (await subscription.next()).value;
    assert(item?.type === "event" && item.text() === String(n), `${n}: ${String(item)}`);
  }
  assert.equal(asked, 2);
  await client.publish("ride.7", "with the new one");
  client.close();
  publisher.close();
  await hub.remove();
});

test("a token that ends and has no other closes the client", async () => {
  const { hub, short } = await start(1);
  const client = await connect(hub.url, { token: short });
  const next = client.subscribe("ride.*").next();
  next.catch(() => undefined);
  const reason = await client.closed;
  assert(reason.type === "failed" && reason.error.reason === "refused");
  await assert.rejects(next, { name: "SubscriptionError", reason: "closed" });
  await hub.remove();
});

test("a newer token takes the place of one that is a value", async () => {
  const { hub, short } = await start(1);
  const client = await connect(hub.url, { token: short });
  const subscription = client.subscribe("ride.*");
  await subscription.ready();
  await client.refreshToken(LONG);
  let published = 0;
  for (const end = Date.now() + 1_500; Date.now() < end; published += 1) {
    await client.publish("ride.7", String(published));
    const item = (await subscription.next()).value;
    assert(item?.type === "event" && item.text() === String(published));
  }
  await assert.rejects(client.refreshToken("wrong"));
  client.close();
  await hub.remove();
});
