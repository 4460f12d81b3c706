/** The pages of examples/web, which is a service of its own. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { test } from "node:test";

import type { Page } from "playwright-core";

import { Pages } from "./browser.js";

/** The program; `cargo xtask web` says where it is. */
const EXAMPLE = process.env["EXAMPLE"];

test("two pages chat, one with EventSource alone and one with the client", async (t) => {
  if (EXAMPLE === undefined) {
    return t.skip("EXAMPLE is not set");
  }
  const example = spawn(EXAMPLE, ["--http", "127.0.0.1:0"], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => example.kill("SIGKILL"));
  let origin = "";
  for await (const line of createInterface(example.stdout)) {
    origin = /http:\/\/\S+/.exec(line)?.[0] ?? "";
    break;
  }
  const pages = await Pages.start();
  t.after(() => pages.stop());
  const join = async (path: string, token: string): Promise<Page> => {
    const page = await (await pages.browser.newContext()).newPage();
    await page.goto(origin + path);
    await page.fill("[name=token]", token);
    await page.click("#join button");
    await page.waitForSelector("#say:not([hidden])");
    return page;
  };
  const plain = await join("/", "writer");
  const client = await join("/client", "writer");
  const reader = await join("/client", "reader");
  for (const [page, text] of [
    [plain, "hello from EventSource"],
    [client, "hello from the client"],
  ] as const) {
    await page.fill("[name=text]", text);
    await page.click("#say button");
    for (const other of [plain, client, reader]) {
      await other.waitForSelector(`li:has-text("${text}")`);
    }
  }
  await reader.fill("[name=text]", "may I?");
  await reader.click("#say button");
  await reader.waitForSelector('li.note:has-text("refused")');
  assert.equal(await plain.locator("li:has-text('may I?')").count(), 0);
});
