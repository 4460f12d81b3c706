/** A session over WebTransport, with a server that is scripted. */
import assert from "node:assert/strict";
import { test } from "node:test";

import { Code } from "../src/code.js";
import { Writer } from "../src/codec/writer.js";
import { Failure } from "../src/failure.js";
import { HttpSession } from "../src/http/session.js";
import type { EventStream, StreamItem, SubscribeRequest } from "../src/session.js";
import { WebTransportSession } from "../src/web_transport/session.js";
import { wireStart } from "../src/web_transport/start.js";

/** The server's side of the last session. */
class Script {
  static last: Script;
  readonly ready = Promise.resolve();
  readonly closed: Promise<WebTransportCloseInfo>;
  readonly #received = new TransformStream<Uint8Array, Uint8Array>();
  readonly #sent = new TransformStream<Uint8Array, Uint8Array>(
    undefined,
    undefined,
    new CountQueuingStrategy({ highWaterMark: 100 }),
  );
  readonly #streams = new TransformStream<ReadableStream<Uint8Array>, ReadableStream<Uint8Array>>(
    undefined,
    undefined,
    new CountQueuingStrategy({ highWaterMark: 100 }),
  );
  readonly #control = this.#sent.writable.getWriter();
  readonly #incoming = this.#streams.writable.getWriter();
  readonly #requests = this.#received.readable.getReader();
  /** With which code the client has closed it. */
  closedWith: number | undefined;
  #end!: (info: WebTransportCloseInfo) => void;

  constructor(readonly url: string) {
    this.closed = new Promise((resolve) => (this.#end = resolve));
    Script.last = this;
  }

  get incomingUnidirectionalStreams(): ReadableStream {
    return this.#streams.readable;
  }

  async createBidirectionalStream(): Promise<unknown> {
    return { readable: this.#sent.readable, writable: this.#received.writable };
  }

  close(info: WebTransportCloseInfo): void {
    this.closedWith ??= info.closeCode ?? 0;
    this.#end(info);
  }

  /** Closes it as the server does. */
  end(closeCode: number, reason = ""): void {
    this.#end({ closeCode, reason });
  }

  send(frame: Uint8Array): void {
    void this.#control.write(frame);
  }

  async request(): Promise<string> {
    const { value } = await this.#requests.read();
    return Buffer.from(value ?? []).toString("hex");
  }

  welcome(): void {
    const writer = new Writer(0x11).v(0).text("test").v(1000);
    [1 << 20, 128, 10_000, 30_000, 120_000, 100_000, 0, 600_000, 10_000].forEach((n) => writer.v(n));
    this.send(writer.finish());
  }

  /** Opens a subscription's stream and confirms it. */
  confirm(id: number, position: number, outcome = 0): WritableStreamDefaultWriter<Uint8Array> {
    const stream = new TransformStream<Uint8Array, Uint8Array>(
      undefined,
      undefined,
      new CountQueuingStrategy({ highWaterMark: 100 }),
    );
    void this.#incoming.write(stream.readable);
    const writer = stream.writable.getWriter();
    void writer.write(new Writer(0x20).v(id).v(1000).v(position).v(outcome).finish());
    this.send(new Writer(0x12).v(id).v(1000).v(position).finish());
    return writer;
  }
}

function event(seq: number, data: string): Uint8Array {
  const writer = new Writer(0x21).v(seq).v(1_000_000).v(0).v(0);
  return writer.v(0).text("a").v(0).text(data).finish();
}

const REQUEST: SubscribeRequest = { patterns: ["a"], start: "live", onLag: "catch-up", after: undefined };
const NEVER = new AbortController().signal;

async function open(): Promise<{ session: WebTransportSession; script: Script }> {
  Object.assign(globalThis, { WebTransport: Script });
  const http = new HttpSession({
    base: "http://localhost:1",
    token: "secret",
    fetch,
    credentials: "omit",
    silence: 0,
    timeout: 1,
  });
  const opening = WebTransportSession.open("https://localhost/qsse/1", {}, http, NEVER);
  const script = Script.last;
  const agent = Buffer.from("qsse-js/0.1.0").toString("hex");
  assert.equal(await script.request(), `1800000001000d${agent}0106736563726574`);
  script.welcome();
  return { session: await opening, script };
}

async function next(stream: EventStream): Promise<StreamItem> {
  for (let item = stream.take(); ; item = stream.take()) {
    if (item !== undefined) {
      return item;
    }
    await stream.fill();
  }
}

test("a subscription has the events of its stream, after the position", async () => {
  const { session, script } = await open();
  const opening = session.subscribe(REQUEST, NEVER);
  assert.equal(await script.request(), "07000000020101" + "0161" + "0000");
  const server = script.confirm(1, 41);
  void server.write(event(42, "Ada"));
  const stream = await opening;
  assert.deepEqual(await next(stream), { type: "moved", id: "G8-41" });
  const item = await next(stream);
  assert(item.type === "event" && item.id === "G8-42" && item.text() === "Ada");
  assert.equal(item.time.getTime(), 1_000);
  stream.cancel();
  assert.equal(await script.request(), "020000000301", "the server is told");
});

test("a position of another log is a reset", async () => {
  const { session, script } = await open();
  const opening = session.subscribe({ ...REQUEST, after: "not an id" }, NEVER);
  assert.equal(await script.request(), "09000000020101" + "0161" + "010000" + "00");
  script.confirm(1, 7, 3);
  const reset = await next(await opening);
  assert(reset.type === "reset" && reset.position === "G8-7" && reset.after === "not an id");
});

test("a refusal has the server's words, and the session goes on", async () => {
  const { session, script } = await open();
  const refused = session.subscribe(REQUEST, NEVER);
  script.send(new Writer(0x13).v(1).v(Code.NOT_AUTHORISED).text("not you").u8(0).finish());
  await assert.rejects(refused, { kind: "final", code: Code.NOT_AUTHORISED, message: "not you" });
  const busy = session.subscribe(REQUEST, NEVER);
  script.send(new Writer(0x13).v(2).v(Code.BUSY).text("").u8(0).finish());
  await assert.rejects(busy, { kind: "busy", message: "busy" });
  const opening = session.subscribe(REQUEST, NEVER);
  script.confirm(3, 1);
  await opening;
});

test("streams are read to their ends after a goodbye, and then the session is left", async () => {
  const { session, script } = await open();
  const opening = session.subscribe(REQUEST, NEVER);
  const server = script.confirm(1, 1);
  const stream = await opening;
  await next(stream);
  const goodbye = new Writer(0x14).v(Code.SHUTTING_DOWN).text("").u8(1).v(70).u8(0);
  script.send(goodbye.finish());
  void server.write(event(2, "last"));
  void server.close();
  session.close(true);
  const item = await next(stream);
  assert(item.type === "event" && item.text() === "last");
  await assert.rejects(next(stream), (failure) => {
    assert(failure instanceof Failure && failure.kind === "lost" && failure.retryAfter === 70);
    return true;
  });
  assert.equal(script.closedWith, undefined);
  stream.cancel();
  assert.equal(script.closedWith, Code.NO_ERROR);
});

test("the end of the session ends what waits, and says whether it is the token", async () => {
  const { session, script } = await open();
  const waiting = session.subscribe(REQUEST, NEVER);
  script.end(Code.TOKEN_EXPIRED, "the token has expired");
  await assert.rejects(waiting, { kind: "token", message: "the token has expired" });
  const lost = (await open()).session;
  Script.last.end(Code.BUSY);
  assert.equal((await lost.lost).kind, "lost");
});

test("what the protocol forbids ends the session with its code", async () => {
  const { session, script } = await open();
  script.welcome();
  assert.equal((await session.lost).code, Code.PROTOCOL_VIOLATION);
  assert.equal(script.closedWith, Code.PROTOCOL_VIOLATION);
});

test("starts become those of the protocol", () => {
  const start = (start: SubscribeRequest["start"]): unknown =>
    wireStart({ ...REQUEST, start }, 10_000);
  assert.deepEqual(start("live"), { type: "live" });
  assert.deepEqual(start("last:3"), { type: "last", count: 3 });
  assert.deepEqual(start("since:2s"), { type: "since", time: 8_000_000n });
  assert.deepEqual(start("since:10m"), { type: "since", time: 0n });
  assert.deepEqual(start(new Date(7)), { type: "since", time: 7_000n });
  assert.deepEqual(start("since:1970-01-01T00:00:01Z"), { type: "since", time: 1_000_000n });
  for (const wrong of ["last:0", "last:1.5", "since:x", "since:1y"] as const) {
    assert.throws(() => start(wrong), { name: "SubscriptionError", reason: "invalid" }, wrong);
  }
});
