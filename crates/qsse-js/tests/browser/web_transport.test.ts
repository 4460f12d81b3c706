/** The client over WebTransport, in a real browser against a real server. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import type { Page } from "playwright-core";

import type * as Qsse from "../../src/index.js";
import type { Hub } from "../hub.js";
import { Pages } from "./browser.js";

let pages: Pages;

before(async () => {
  pages = await Pages.start();
});

after(() => pages.stop());

/** Connects a page over WebTransport alone, and collects what one of its subscriptions yields. */
async function open(
  hub: Hub,
  start: Qsse.Start,
  transport: "auto" | "web-transport" = "web-transport",
): Promise<Page> {
  const page = await pages.open();
  await page.evaluate(
    async ([url, webTransport, start, transport]) => {
      window.got = [];
      window.notices = [];
      const module = "/qsse.js";
      const { connect } = (await import(module)) as typeof Qsse;
      const onState = ({ status }: Qsse.ConnectionState): unknown => window.notices.push(status);
      window.client = await connect(url, { transport, webTransport, onState });
      const subscription = window.client.subscribe("count", { start });
      await subscription.ready();
      void (async () => {
        for await (const item of subscription) {
          window.got.push(item.type === "event" ? item.text() : item.type);
        }
      })();
    },
    [hub.url, hub.webTransport, start as "live", transport] as const,
  );
  return page;
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, n) => String(n));

test("events, publishes and many subscriptions go over one session", async () => {
  const hub = await pages.hub();
  const page = await open(hub, "live");
  await hub.publish(numbers(2_000).map((data) => ({ topic: "count", data })));
  await page.waitForFunction(() => window.got.length >= 2_000);
  assert.deepEqual(await page.evaluate(() => window.got), numbers(2_000));
  const answers = await page.evaluate(async () => {
    const { client } = window;
    const subscriptions = Array.from({ length: 20 }, (_, n) => client.subscribe(`side.${n}`));
    await Promise.all(subscriptions.map((subscription) => subscription.ready()));
    const ids = await Promise.all(
      subscriptions.map((_, n) => client.publish(`side.${n}`, Uint8Array.of(n, 255))),
    );
    const items = await Promise.all(subscriptions.map((subscription) => subscription.next()));
    const refused = client.subscribe("*.*.*.*.*.*");
    const error = await refused.ready().catch((error: Qsse.SubscriptionError) => error);
    return {
      transport: client.transport,
      same: items.every(
        ({ value }, n) => value?.type === "event" && value.id === ids[n] && value.data[0] === n,
      ),
      refused: [error?.reason, error?.code],
    };
  });
  assert.deepEqual(answers, { transport: "web-transport", same: true, refused: ["refused", 30] });
  await page.close();
  await hub.remove();
});

test("the cursor of WebTransport is that of server-sent events", async () => {
  const hub = await pages.hub();
  await hub.publish(numbers(100).map((data) => ({ topic: "count", data })));
  const page = await open(hub, "earliest");
  await page.waitForFunction(() => window.got.length >= 100);
  const got = await page.evaluate(
    async ([url, webTransport]) => {
      const module = "/qsse.js";
      const { connect } = (await import(module)) as typeof Qsse;
      const texts: string[] = [];
      let after: string | undefined;
      for (const transport of ["fetch", "web-transport", "fetch", "web-transport"] as const) {
        const client = await connect(url, { transport, webTransport });
        const start = after === undefined ? {} : { after };
        const subscription = client.subscribe("count", { start: "earliest", ...start });
        for (let n = 0; n < 25; n += 1) {
          const item = (await subscription.next()).value;
          texts.push(item?.type === "event" ? item.text() : String(item));
        }
        after = subscription.cursor;
        client.close();
      }
      return texts;
    },
    [hub.url, hub.webTransport] as const,
  );
  assert.deepEqual(got, numbers(100));
  await page.close();
  await hub.remove();
});

test("a server that ends and starts again loses nothing over WebTransport", async () => {
  const hub = await pages.hub("--store", "events");
  const page = await open(hub, "live");
  const all = numbers(200);
  await hub.publish(all.slice(0, 100).map((data) => ({ topic: "count", data })));
  await page.waitForFunction(() => window.got.length >= 100);
  // A server that ends says so; one that is killed is missed after the idle timeout of QUIC.
  await hub.end("SIGINT");
  await hub.restart();
  await hub.publish(all.slice(100).map((data) => ({ topic: "count", data })));
  await page.waitForFunction(() => window.got.length >= 200);
  const [got, states] = await page.evaluate(() => [window.got, window.notices] as const);
  assert.deepEqual(got, all);
  assert.deepEqual([states.at(0), states.at(-1)], ["connected", "connected"]);
  assert(states.includes("reconnecting"));
  await page.close();
  await hub.remove();
});

test("a page goes on over fetch where WebTransport no longer gets through", async () => {
  const hub = await pages.hub("--store", "events");
  const page = await open(hub, "live", "auto");
  assert.equal(await page.evaluate(() => window.client.transport), "web-transport");
  const all = numbers(200);
  await hub.publish(all.slice(0, 100).map((data) => ({ topic: "count", data })));
  await hub.end("SIGINT");
  await hub.restart("127.0.0.1:0");
  await hub.publish(all.slice(100).map((data) => ({ topic: "count", data })));
  await page.waitForFunction(() => window.got.length >= 200);
  assert.deepEqual(await page.evaluate(() => window.got), all);
  assert.equal(await page.evaluate(() => window.client.transport), "fetch");
  await page.close();
  await hub.remove();
});
