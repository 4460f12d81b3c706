/** The client against a real server. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import {
  type Client,
  Code,
  connect,
  ConnectError,
  type Event,
  type Item,
  PublishError,
  type Subscription,
  SubscriptionError,
} from "../src/index.js";
import { Hub } from "./hub.js";

let hub: Hub;
let client: Client;

before(async () => {
  hub = await Hub.start();
  client = await connect(hub.url);
});

after(async () => {
  client.close();
  await hub.remove();
});

async function next<T extends Item>(subscription: Subscription<T>): Promise<T> {
  const { value } = await subscription.next();
  assert(value !== undefined, "the subscription has ended");
  return value;
}

async function nextEvent(subscription: Subscription): Promise<Event> {
  const item = await next(subscription);
  assert(item.type === "event", String(item));
  return item;
}

test("an event has its topic, kind, time, id and data", async () => {
  const rides = client.subscribe("ride.*.start");
  await rides.ready();
  const from = Date.now();
  const id = await client.publish("ride.7.start", { driver: "Ada" }, { kind: "started" });
  const event = await nextEvent(rides);
  assert.equal(event.id, id);
  assert.equal(event.topic, "ride.7.start");
  assert.equal(event.kind, "started");
  assert.deepEqual(event.json(), { driver: "Ada" });
  assert.equal(event.text(), '{"driver":"Ada"}');
  assert(Math.abs(event.time.getTime() - from) < 10_000, event.time.toISOString());
  assert.equal(rides.cursor, id);
  rides.close();
  assert.equal(client.transport, "fetch");
});

test("data of any bytes arrives as it was", async () => {
  const all = client.subscribe("bytes");
  await all.ready();
  const texts = ["", "a\r\nb\rc\n", "…𝄞\0", "id: 1\n\ndata: 2", "\ufeffx"];
  const bytes = Uint8Array.from({ length: 256 }, (_, n) => n);
  for (const text of texts) {
    await client.publish("bytes", text);
  }
  await client.publish("bytes", bytes);
  await client.publish("bytes", bytes.subarray(200).slice().buffer, { kind: "qssé" });
  for (const text of texts) {
    assert.equal((await nextEvent(all)).text(), text);
  }
  assert.deepEqual((await nextEvent(all)).data, bytes);
  const last = await nextEvent(all);
  assert.deepEqual(last.data, bytes.subarray(200));
  assert.equal(last.kind, "qssé");
  all.close();
});

test("a subscription begins where it is told to", async () => {
  const ids: string[] = [];
  for (let n = 0; n < 4; n += 1) {
    ids.push(await client.publish("starts", String(n)));
  }
  const first = async (options: Parameters<Client["subscribe"]>[1]): Promise<string> => {
    const subscription = client.subscribe(["starts", "nothing.*"], options as object);
    const event = await nextEvent(subscription);
    subscription.close();
    return event.id;
  };
  assert.equal(await first({ start: "earliest" }), ids[0]);
  assert.equal(await first({ start: "last:2" }), ids[2]);
  assert.equal(await first({ start: "since:1h" }), ids[0]);
  assert.equal(await first({ start: new Date(Date.now() - 3_600_000) }), ids[0]);
  assert.equal(await first({ start: "earliest", after: ids[1] as string }), ids[2]);
});

test("a break ends the subscription, and a closed one yields nothing more", async () => {
  await client.publish("breaks", "1");
  await client.publish("breaks", "2");
  const subscription = client.subscribe("breaks", { start: "earliest" });
  for await (const item of subscription) {
    assert(item.type === "event" && item.text() === "1");
    break;
  }
  assert.deepEqual(await subscription.next(), { done: true, value: undefined });
});

test("an aborted signal ends the loop with its reason", async () => {
  const abort = new AbortController();
  const loop = (async () => {
    for await (const _ of client.subscribe("quiet", { signal: abort.signal })) {
      assert.fail("there is no event");
    }
  })();
  abort.abort(new Error("the view is gone"));
  await assert.rejects(loop, /the view is gone/);
  const late = client.subscribe("quiet", { signal: abort.signal });
  await assert.rejects(late.next(), /the view is gone/);
  await assert.rejects(client.publish("quiet", "", { signal: abort.signal }), /the view is gone/);
  await assert.rejects(connect(hub.url, { signal: abort.signal }), ConnectError);
});

test("a key makes one event of two publishes", async () => {
  const key = 'order "4711"';
  await assert.rejects(client.publish("keys", "1", { key }), /is not a key/);
  const id = await client.publish("keys", "1", { key: '"4711"' });
  assert.equal(await client.publish("keys", "2", { key: '"4711"' }), id);
  assert.notEqual(await client.publish("keys", "2", { key: "4711" }), id);
  assert.notEqual(await client.publish("keys", "3"), await client.publish("keys", "3"));
});

test("a pattern reaches the topics that are there", async () => {
  await client.publish("many.a", "");
  await client.publish("many.b", "");
  const published = await client.publishMatching("many.*", "all");
  assert.equal(published.count, 2);
  assert(published.first !== null && published.first !== published.last);
  assert.deepEqual(await client.publishMatching("nobody.*", ""), {
    count: 0,
    first: null,
    last: null,
  });
});

test("what is wrong is said before anything is sent", async () => {
  assert.throws(() => client.subscribe("a..b"), SubscriptionError);
  assert.throws(() => client.subscribe([]), /at least one pattern/);
  assert.throws(() => client.subscribe("ride.x*"), /stands alone/);
  for (const topic of ["", "..", "a.*", "x".repeat(256), "a\nb"]) {
    await assert.rejects(client.publish(topic, ""), { name: "PublishError", reason: "invalid" });
  }
  await assert.rejects(client.publish("a", 1n as unknown as object), /written as JSON/);
  await assert.rejects(connect("ftp://localhost"), { name: "ConnectError", reason: "invalid" });
  await assert.rejects(connect("localhost"), /write https:\/\/HOST/);
});

test("a refusal has the server's code and advice", async () => {
  await assert.rejects(client.publish("a", "", { kind: "error" }), (error) => {
    assert(error instanceof PublishError && error.reason === "refused" && error.status === 400);
    assert.match(error.message, /error/);
    return true;
  });
  const wild = client.subscribe("*.*.*.*.*.*.*");
  await assert.rejects(wild.ready(), { code: Code.TOO_MANY_WILDCARDS, reason: "refused" });
  await assert.rejects(wild.next(), SubscriptionError);
  assert.deepEqual(await wild.next(), { done: true, value: undefined });
});

test("closing ends loops and refuses more", async () => {
  const other = await connect(hub.url);
  const loop = other.subscribe("quiet").next();
  other.close();
  assert.deepEqual(await loop, { done: true, value: undefined });
  assert.deepEqual(await other.closed, { type: "local" });
  assert.equal(other.state.status, "closed");
  await assert.rejects(other.publish("a", ""), { name: "PublishError", reason: "closed" });
});

test("nobody there is an error at once, or a wait", async () => {
  const gone = await Hub.start();
  await gone.end();
  await assert.rejects(connect(gone.url), { name: "ConnectError", reason: "unreachable" });
  const waiting = connect(gone.url, { retry: true });
  await gone.restart();
  (await waiting).close();
  await gone.remove();
});

test("an address that is no qsse server is told apart", async () => {
  await assert.rejects(connect(`${hub.url}/elsewhere`), (error) => {
    assert(error instanceof ConnectError && error.reason === "refused" && error.status === 404);
    return true;
  });
});

test("many subscriptions go side by side", async () => {
  const subscriptions = Array.from({ length: 50 }, (_, n) => client.subscribe(`side.${n}`));
  await Promise.all(subscriptions.map((subscription) => subscription.ready()));
  await Promise.all(subscriptions.map((_, n) => client.publish(`side.${n}`, String(n))));
  const events = await Promise.all(subscriptions.map(nextEvent));
  assert.deepEqual(
    events.map((event) => event.text()),
    subscriptions.map((_, n) => String(n)),
  );
  subscriptions.forEach((subscription) => subscription.close());
});
