/** Pages in a real browser against a real server: with `EventSource` alone, and with the client. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import type * as Qsse from "../../src/index.js";
import { Pages, Relay } from "./browser.js";

/** What the functions that run in a page leave there. */
declare global {
  interface Window {
    got: string[];
    notices: string[];
    source: EventSource;
    client: Qsse.Client;
  }
}

let pages: Pages;

before(async () => {
  pages = await Pages.start();
});

after(() => pages.stop());

const secure = (url: string): string => url.replace("http:", "https:");

const numbers = (count: number): string[] => Array.from({ length: count }, (_, n) => String(n));

test("EventSource gets everything over HTTP/2 as it was published", async () => {
  const hub = await pages.hub();
  const page = await pages.open();
  const network = await page.context().newCDPSession(page);
  const protocols: string[] = [];
  await network.send("Network.enable");
  network.on("Network.responseReceived", ({ response }) => {
    if (response.url.includes("/events")) {
      protocols.push(response.protocol ?? "");
    }
  });
  await page.evaluate(async (url) => {
    window.got = [];
    const source = new EventSource(`${url}/events?topic=case`);
    const take = ({ type, data, lastEventId }: MessageEvent<string>): void => {
      window.got.push(JSON.stringify([type, data, lastEventId]));
    };
    source.onmessage = take;
    source.addEventListener("made", take);
    source.addEventListener("qsse.binary", take);
    await new Promise((resolve) => (source.onopen = resolve));
  }, secure(hub.url));
  const large = "x".repeat(900_000);
  const cases: [string, string, string][] = [
    ["message", "", ""],
    ["message", "\ufeffmark", "\ufeffmark"],
    ["message", "a\r\nb\rc\n", "a\nb\nc\n"],
    ["message", "\n", "\n"],
    ["message", "nul \0", "nul \0"],
    ["message", "id: 1\n\nevent: error\ndata: 2\nretry: 1", "id: 1\n\nevent: error\ndata: 2\nretry: 1"],
    ["message", "  two spaces", "  two spaces"],
    ["message", ": no comment", ": no comment"],
    ["message", "ok…€𝄞", "ok…€𝄞"],
    ["made", "of another kind", "of another kind"],
    ["message", large, large],
  ];
  const expected: string[] = [];
  for (const [kind, data, seen] of cases) {
    const url = `${hub.url}/publish/case?kind=${kind}`;
    const answer = await fetch(url, { method: "POST", body: data });
    const { id } = (await answer.json()) as { id: string };
    expected.push(JSON.stringify([kind, seen, id]));
  }
  const binary = await fetch(`${hub.url}/publish/case`, { method: "POST", body: Uint8Array.of(255) });
  const { id } = (await binary.json()) as { id: string };
  expected.push(JSON.stringify(["qsse.binary", "/w==", id]));
  await page.waitForFunction((count) => window.got.length >= count, expected.length);
  assert.deepEqual(await page.evaluate(() => window.got), expected);
  assert.deepEqual(protocols, ["h2"]);
  await page.close();
  await hub.remove();
});

test("EventSource goes on where it was when the server is killed and starts again", async () => {
  const hub = await pages.hub("--store", "events");
  const page = await pages.open();
  await page.evaluate(async (url) => {
    window.got = [];
    window.notices = [];
    const source = new EventSource(`${url}/events?topic=count`);
    source.onmessage = ({ data }: MessageEvent<string>) => window.got.push(data);
    for (const notice of ["qsse.gap", "qsse.reset", "qsse.end"]) {
      source.addEventListener(notice, () => window.notices.push(notice));
    }
    await new Promise((resolve) => (source.onopen = resolve));
  }, secure(hub.url));
  const all = numbers(300);
  for (const from of [0, 100, 200]) {
    await hub.publish(all.slice(from, from + 100).map((data) => ({ topic: "count", data })));
    await hub.end("SIGKILL");
    await hub.restart();
  }
  await page.waitForFunction(() => window.got.length >= 300);
  assert.deepEqual(await page.evaluate(() => [window.got, window.notices]), [all, []]);
  await page.close();
  await hub.remove();
});

test("the client in a page publishes, subscribes, and goes on after a reload", async () => {
  const hub = await pages.hub();
  const page = await pages.open();
  const run = (count: number): Promise<string[]> =>
    page.evaluate(
      async ([url, count]) => {
        const module = "/qsse.js";
        const { connect } = (await import(module)) as typeof Qsse;
        const client = await connect(url, { transport: "fetch" });
        const texts: string[] = [];
        const subscription = client.subscribe("page", { start: "live", cursor: "page" });
        await subscription.ready();
        for (let n = 0; n < count; n += 1) {
          await client.publish("page", { n });
        }
        for await (const item of subscription) {
          texts.push(item.type === "event" ? item.text() : item.type);
          if (item.type === "event" && item.json<{ n: number }>().n === count - 1) {
            break;
          }
        }
        client.close();
        return texts;
      },
      [secure(hub.url), count] as const,
    );
  assert.deepEqual(await run(2), ['{"n":0}', '{"n":1}']);
  await page.reload();
  // The last event of the loop above was not finished, as far as anybody knows.
  assert.deepEqual(await run(3), ['{"n":1}', '{"n":0}', '{"n":1}', '{"n":2}']);
  const stored = await page.evaluate(() => localStorage.getItem("qsse:page"));
  assert.match(stored ?? "", /^[0-9A-Za-z]+-\d+$/);
  await page.close();
  await hub.remove();
});

test("where WebTransport is blocked, a page has fetch soon", async () => {
  const hub = await pages.hub();
  const page = await pages.open();
  const [transport, time] = await page.evaluate(async (url) => {
    const module = "/qsse.js";
    const { connect } = (await import(module)) as typeof Qsse;
    const from = performance.now();
    // Nobody answers there.
    const client = await connect(url, { webTransport: "https://127.0.0.1:9/qsse/1" });
    await client.publish("a", "");
    return [client.transport, performance.now() - from] as const;
  }, secure(hub.url));
  assert.equal(transport, "fetch");
  assert(time < 4_000, `${time} ms`);
  await page.close();
  await hub.remove();
});

test("a page that loses its network for 5 s under 1,000 events/s misses and doubles nothing", async () => {
  const hub = await pages.hub();
  const relay = await Relay.start(hub.url);
  const page = await pages.open();
  const network = await page.context().newCDPSession(page);
  await page.evaluate(async (url) => {
    window.got = [];
    window.notices = [];
    const own: string[] = [];
    const source = new EventSource(`${url}/events?topic=count`);
    source.onmessage = ({ data }: MessageEvent<string>) => own.push(data);
    await new Promise((resolve) => (source.onopen = resolve));
    const module = "/qsse.js";
    const { connect } = (await import(module)) as typeof Qsse;
    const onState = ({ status }: Qsse.ConnectionState): unknown => window.notices.push(status);
    window.client = await connect(url, { transport: "fetch", onState });
    const subscription = window.client.subscribe("count");
    await subscription.ready();
    void (async () => {
      for await (const item of subscription) {
        window.got.push(item.type === "event" ? item.text() : item.type);
      }
    })();
    Object.assign(window, { own });
  }, `https://127.0.0.1:${relay.port}`);
  const offline = (offline: boolean): Promise<unknown> =>
    network.send("Network.emulateNetworkConditions", {
      offline,
      latency: 0,
      downloadThroughput: -1,
      uploadThroughput: -1,
    });
  const total = 9_000;
  const from = Date.now();
  let published = 0;
  let lost: Promise<unknown> | undefined;
  while (published < total) {
    const due = Math.min(total, Date.now() - from);
    if (due > published) {
      const data = numbers(due).slice(published);
      await hub.publish(data.map((data) => ({ topic: "count", data })));
      published = due;
    }
    if (published > 2_000 && lost === undefined) {
      lost = offline(true).then(() => relay.cut());
      setTimeout(() => {
        relay.mend();
        lost = offline(false);
      }, 5_000);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await lost;
  const both = "window.got.length >= 9000 && window.own.length >= 9000";
  await page.waitForFunction(both, undefined, { timeout: 20_000 });
  const [got, own, states] = await page.evaluate(
    () => [window.got, (window as unknown as { own: string[] }).own, window.notices] as const,
  );
  assert.deepEqual(got, numbers(total), "the client");
  assert.deepEqual(own, numbers(total), "EventSource");
  assert(states.includes("reconnecting"), `the network was never lost: ${states}`);
  await page.close();
  relay.stop();
  await hub.remove();
});
