/** What a client gets across a server that dies, and a client that is slow. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";

import { connect, type ConnectionState, type CursorStore, type Item } from "../src/index.js";
import { Hub, until } from "./hub.js";

/** Collects what a subscription yields, until it ends. */
function collect(items: AsyncIterable<Item>): { texts: string[]; notices: string[] } {
  const got = { texts: [] as string[], notices: [] as string[] };
  void (async () => {
    for await (const item of items) {
      if (item.type === "event") {
        got.texts.push(item.text());
      } else {
        got.notices.push(item.type);
      }
    }
  })();
  return got;
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, n) => String(n));

test("a server that is killed loses nothing and doubles nothing", async () => {
  const hub = await Hub.start(() => ["--store", "events"]);
  const states: ConnectionState["status"][] = [];
  const onState = (state: ConnectionState): void => void states.push(state.status);
  const client = await connect(hub.url, { onState, reconnect: { maxDelay: 100 } });
  const got = collect(client.subscribe("count"));
  const other = collect(client.subscribe(["count", "other"], { start: "earliest" }));
  await until("both are subscribed", () => states.length > 0);
  let published = 0;
  const publishing = (async () => {
    for (; published < 400; published += 1) {
      await client.publish("count", String(published));
    }
  })();
  for (const at of [50, 150, 300]) {
    await until(`${at} are published`, () => published >= at);
    await hub.end("SIGKILL");
    await hub.restart();
  }
  await publishing;
  await until("all are there", () => got.texts.length >= 400 && other.texts.length >= 400);
  assert.deepEqual(other, { texts: numbers(400), notices: [] });
  // The first of them may have been published before the first subscription was confirmed.
  assert.deepEqual(got.texts, numbers(400).slice(-got.texts.length));
  assert(states.includes("reconnecting") && client.state.status === "connected");
  client.close();
  await hub.remove();
});

test("a log that is gone is a reset, and its events come from the beginning", async () => {
  const hub = await Hub.start();
  const client = await connect(hub.url, { reconnect: { maxDelay: 100 } });
  const subscription = client.subscribe("a");
  await subscription.ready();
  await client.publish("a", "before");
  assert.equal((await subscription.next()).value?.type, "event");
  const before = subscription.cursor;
  await hub.end("SIGKILL");
  await hub.restart();
  const id = await client.publish("a", "after");
  const reset = (await subscription.next()).value;
  assert(reset?.type === "reset", String(reset));
  assert.equal(reset.after, before);
  const event = (await subscription.next()).value;
  assert(event?.type === "event" && event.id === id, String(event));
  client.close();
  await hub.remove();
});

test("events that the server no longer has are a gap, for the loop or for onNotice", async () => {
  const hub = await Hub.start((folder) => {
    writeFileSync(join(folder, "qsse.toml"), "[limits]\nhistory_events = 3\n");
    return ["--config", "qsse.toml"];
  });
  const client = await connect(hub.url);
  const first = await client.publish("a", "0");
  await hub.publish(numbers(2_000).map((data) => ({ topic: "a", data })));
  const subscription = client.subscribe("a", { after: first });
  const gap = (await subscription.next()).value;
  assert(gap?.type === "gap", String(gap));
  assert(gap.atMost > 0 && gap.from !== gap.to && gap.reason !== "", String(gap));
  assert.equal(subscription.cursor, first, "who goes on inside of a gap gets it again");
  const event = (await subscription.next()).value;
  assert(event?.type === "event");
  subscription.close();
  const notices: string[] = [];
  const onNotice = (notice: object): void => void notices.push(String(notice));
  const events = client.subscribe("a", { after: first, onNotice });
  const only = (await events.next()).value;
  assert.equal(only?.text(), event.text());
  assert.match(notices.join(), /may be missing/);
  client.close();
  await hub.remove();
});

test("a server that is shut down sends everything first, and the client comes back", async () => {
  const hub = await Hub.start((folder) => {
    writeFileSync(join(folder, "qsse.toml"), '[limits]\nretry_after = "10ms"\n');
    return ["--config", "qsse.toml", "--store", "events"];
  });
  const client = await connect(hub.url);
  const subscription = client.subscribe("a", { start: "earliest" });
  await subscription.ready();
  for (const text of ["1", "2", "3"]) {
    await client.publish("a", text);
  }
  const got = collect(subscription);
  await until("they are there", () => got.texts.length === 3);
  await hub.end("SIGINT");
  await hub.restart();
  await client.publish("a", "4");
  await until("the last is there", () => got.texts.length === 4);
  assert.deepEqual(got, { texts: ["1", "2", "3", "4"], notices: [] });
  client.close();
  await hub.remove();
});

test("a loop that is slow holds one chunk, and misses nothing", async () => {
  const hub = await Hub.start();
  let chunks = 0;
  const counting: typeof fetch = async (input, init) => {
    const response = await fetch(input, init);
    if (!String(input).includes("/events") || response.body === null) {
      return response;
    }
    const count = new TransformStream<Uint8Array, Uint8Array>({
      transform(chunk, controller) {
        chunks += 1;
        controller.enqueue(chunk);
      },
    });
    return new Response(response.body.pipeThrough(count), response);
  };
  const client = await connect(hub.url, { fetch: counting });
  const subscription = client.subscribe("large");
  await subscription.ready();
  const large = "x".repeat(256 << 10);
  await hub.publish(numbers(64).map((n) => ({ topic: "large", data: `${n} ${large}` })));
  // The loop has not asked for anything yet. 16 MiB have been published.
  assert(chunks <= 4, `${chunks} chunks were taken from the network`);
  for (const n of numbers(64)) {
    const item = (await subscription.next()).value;
    assert(item?.type === "event" && item.text() === `${n} ${large}`, `event ${n}`);
  }
  client.close();
  await hub.remove();
});

test("a cursor that is kept goes on in the next run", async () => {
  const hub = await Hub.start(() => ["--store", "events"]);
  const client = await connect(hub.url);
  const ids: string[] = [];
  for (const text of ["1", "2", "3", "4"]) {
    ids.push(await client.publish("a", text));
  }
  let kept: string | undefined;
  const cursor: CursorStore = {
    load: () => kept,
    save: (id) => {
      kept = id;
    },
  };
  const run = async (count: number): Promise<string[]> => {
    const texts: string[] = [];
    const subscription = client.subscribe("a", { start: "earliest", cursor });
    for (let n = 0; n < count; n += 1) {
      const item = (await subscription.next()).value;
      assert(item?.type === "event");
      texts.push(item.text());
    }
    subscription.close();
    return texts;
  };
  // The last one of a run may not have been dealt with.
  assert.deepEqual(await run(3), ["1", "2", "3"]);
  assert.equal(kept, ids[1]);
  assert.deepEqual(await run(2), ["3", "4"]);
  client.close();
  await hub.remove();
});

test("a publish waits for a connection, but not for ever", async () => {
  const hub = await Hub.start();
  const client = await connect(hub.url, { publishWait: 200, reconnect: { maxDelay: 50 } });
  const subscription = client.subscribe("a");
  await subscription.ready();
  const pulled = subscription.next();
  await hub.end("SIGKILL");
  await until("it is lost", () => client.state.status === "reconnecting");
  await assert.rejects(client.publish("a", "1"), {
    name: "PublishError",
    reason: "not-connected",
    isRetryable: true,
  });
  client.close();
  assert.equal((await pulled).done, true);
  await hub.remove();
});

test("without reconnecting a lost connection closes the client", async () => {
  const hub = await Hub.start();
  const client = await connect(hub.url, { reconnect: false });
  const next = client.subscribe("a").next();
  next.catch(() => undefined);
  await hub.end("SIGKILL");
  assert.equal((await client.closed).type, "lost");
  await assert.rejects(next, { name: "SubscriptionError", reason: "closed" });
  await hub.remove();
});
