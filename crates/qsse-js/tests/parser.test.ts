/** The corner cases of the web platform tests of EventSource, restated for our parser. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { type Block, SseParser } from "../src/http/parser.js";

const ENCODER = new TextEncoder();

interface Parsed {
  readonly blocks: Block[];
  readonly retry: number | undefined;
}

function parse(chunks: readonly (string | Uint8Array)[]): Parsed {
  const parser = new SseParser();
  const blocks: Block[] = [];
  for (const chunk of chunks) {
    parser.push(typeof chunk === "string" ? ENCODER.encode(chunk) : chunk);
    for (let block = parser.next(); block !== undefined; block = parser.next()) {
      blocks.push(block);
    }
  }
  return { blocks, retry: parser.retry };
}

/** Parses a text in one piece, byte by byte, and cut in two at each place: all must agree. */
function everyWay(text: string): Parsed {
  const bytes = ENCODER.encode(text);
  const whole = parse([bytes]);
  const single = Array.from(bytes, (byte) => Uint8Array.of(byte));
  assert.deepEqual(parse(single), whole, "byte by byte");
  for (let cut = 0; cut <= bytes.length; cut += 1) {
    assert.deepEqual(parse([bytes.subarray(0, cut), bytes.subarray(cut)]), whole, `cut at ${cut}`);
  }
  return whole;
}

function data(text: string): (string | undefined)[] {
  return everyWay(text).blocks.map((block) => block.data);
}

test("one byte order mark at the beginning is dropped", () => {
  assert.deepEqual(data("\ufeffdata: 1\n\n\ufeffdata: 2\n\ndata: 3\n\n"), ["1", "3"]);
  assert.deepEqual(data("\ufeff\ufeffdata: 1\n\ndata: 2\n\n"), ["2"]);
});

test("lines end with CR, LF or CR LF", () => {
  assert.deepEqual(data("data:a\rdata:b\ndata:c\r\n\r\ndata:d\r\r"), ["a\nb\nc", "d"]);
  assert.deepEqual(data("data: 1\r\n\r\ndata: 2\n\rdata: 3\r\n\n"), ["1", "2", "3"]);
  assert.deepEqual(data("\r\n\r\n\n\rdata: 1\r\r"), ["1"]);
  assert.deepEqual(data("data: a\r\ndata: b\r\n\r\n"), ["a\nb"], "one break, not two");
});

test("a CR at the end of a chunk ends its line at once", () => {
  const parser = new SseParser();
  parser.push(ENCODER.encode("data: 1\r\r"));
  assert.equal(parser.next()?.data, "1");
  parser.push(ENCODER.encode("\ndata: 2\r"));
  assert.equal(parser.next(), undefined, "the LF belonged to the CR before it");
  parser.push(ENCODER.encode("\n\r\n"));
  assert.equal(parser.next()?.data, "2");
});

test("comments and unknown fields are skipped", () => {
  assert.deepEqual(data(":x\ndata:1\n:\nfoo: bar\n bogus\ndata:2\nDATA: 3\n\n:\n\n"), ["1\n2"]);
  const long = "x".repeat(2_000);
  assert.deepEqual(parse([`data:1\n\n:${long}\ndata:2\n\n`]).blocks.length, 2);
});

test("one space after the colon is dropped, and a field may have no colon", () => {
  assert.deepEqual(data("data\n\ndata:\n\ndata: \n\ndata:  x\n\ndata:\tx\n\ndata:x: y\n\n"), [
    "",
    "",
    "",
    " x",
    "\tx",
    "x: y",
  ]);
  assert.deepEqual(data("data\ndata\n\n"), ["\n"]);
});

test("an event without data is none, and does not name the next one", () => {
  const { blocks } = everyWay("event: a\n\ndata: 1\n\nevent:\ndata: 2\n\nevent: b\ndata: 3\n\n");
  assert.deepEqual(
    blocks.map(({ event, data }) => [event, data]),
    [
      ["message", "1"],
      ["message", "2"],
      ["b", "3"],
    ],
  );
});

test("an id stays until another one, may be emptied, and is ignored with a NUL", () => {
  const { blocks } = everyWay(
    "id: 1\ndata: a\n\ndata: b\n\nid: 2\0\ndata: c\n\nid\ndata: d\n\nid: …\ndata: e\n\n",
  );
  assert.deepEqual(
    blocks.map(({ id, data }) => [id, data]),
    [
      ["1", "a"],
      ["1", "b"],
      ["1", "c"],
      ["", "d"],
      ["…", "e"],
    ],
  );
});

test("a block with an id alone moves the position and is no event", () => {
  assert.deepEqual(everyWay("id: 7\n\nid: 8\nevent: x\n\n").blocks, [
    { id: "7", event: "message", data: undefined },
    { id: "8", event: "x", data: undefined },
  ]);
});

test("retry takes digits only", () => {
  for (const [text, retry] of [
    ["retry: 1500", 1500],
    ["retry:03000", 3000],
    ["retry: 1000x", undefined],
    ["retry: -1", undefined],
    ["retry", undefined],
    ["retry: 1 ", undefined],
    ["retry: 1e3", undefined],
    ["retry: 3000\nretry: x", 3000],
  ] as const) {
    assert.equal(everyWay(`${text}\n\n`).retry, retry, text);
  }
});

test("an unterminated last block is dropped", () => {
  assert.deepEqual(data("data: 1\n\ndata: 2\n"), ["1"]);
  assert.deepEqual(data("data: 1\n\ndata: 2"), ["1"]);
});

test("characters may be split between chunks, and bytes that are not UTF-8 are replaced", () => {
  assert.deepEqual(data("data: ok…€𝄞\n\n"), ["ok…€𝄞"]);
  const broken = Uint8Array.of(0x64, 0x61, 0x74, 0x61, 0x3a, 0xff, 0x41, 0x0a, 0x0a);
  assert.deepEqual(parse([broken]).blocks[0]?.data, "\ufffdA");
});

test("a NUL in data is data, and a large block is read", () => {
  assert.deepEqual(data("data: \0\n\n"), ["\0"]);
  const large = "x".repeat(1 << 20);
  const bytes = ENCODER.encode(`data: ${large}\n\n`);
  const chunks = Array.from({ length: 65 }, (_, n) => bytes.subarray(n << 14, (n + 1) << 14));
  assert.equal(parse(chunks).blocks[0]?.data, large);
});
