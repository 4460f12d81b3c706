/** The vectors of docs/protocol.md, read from that document. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { codeName } from "../src/code.js";
import {
  decodeControl,
  encodeHello,
  encodeRefreshToken,
  encodeSubscribe,
  encodeUnsubscribe,
  type ServerFrame,
  type WireStart,
} from "../src/codec/control.js";
import { EventDecoder, type WireItem } from "../src/codec/events.js";
import { FrameDecoder } from "../src/codec/frames.js";
import {
  type AckFrame,
  decodeAnswer,
  encodeOpenPublisher,
  encodePublish,
} from "../src/codec/publishing.js";
import { Failure } from "../src/failure.js";
import { epochText, idText, parseId } from "../src/position.js";
import type { OnLag } from "../src/session.js";

const DOCUMENT = new URL("../../../../docs/protocol.md", import.meta.url);

interface Vector {
  readonly name: string;
  readonly stream: string;
  readonly bytes: Uint8Array;
  readonly meaning: readonly string[];
}

function vectors(): Vector[] {
  const blocks = readFileSync(DOCUMENT, "utf8").matchAll(/^```vector (.*)\n([^]*?)^```$/gm);
  return Array.from(blocks, ([, info = "", text = ""]) => {
    const lines = text.trimEnd().split("\n");
    const isMeaning = (line: string): boolean => /^[=!]/.test(line);
    const hex = lines.filter((line) => !isMeaning(line)).map((line) => line.split("|")[0]);
    return {
      name: /name=(\S+)/.exec(info)?.[1] ?? assert.fail(info),
      stream: /stream=(\S+)/.exec(info)?.[1] ?? assert.fail(info),
      bytes: Uint8Array.from(hex.join(" ").match(/\S+/g) ?? [], (byte) => parseInt(byte, 16)),
      meaning: lines.filter(isMeaning),
    };
  });
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex") || "-";
const bytesOf = (text: string): Uint8Array =>
  text === "-" ? new Uint8Array() : new Uint8Array(Buffer.from(text, "hex"));
const optional = (name: string, value: unknown): string =>
  value === undefined
    ? `no ${name}`
    : `${name} ${typeof value === "string" ? JSON.stringify(value) : value}`;
const code = (number: number): string => `code ${number} ${JSON.stringify(codeName(number))}`;

function time(micros: bigint): string {
  const seconds = new Date(Number(micros / 1_000_000n) * 1_000).toISOString().slice(0, 19);
  return `${seconds}.${String(micros % 1_000_000n).padStart(6, "0")}Z`;
}

function microsOf(text: string): bigint {
  const [, seconds, micros] = /^(.*)\.(\d{6})Z$/.exec(text) ?? assert.fail(text);
  return BigInt(Date.parse(`${seconds}Z`)) * 1_000n + BigInt(micros as string);
}

function server(frame: ServerFrame): string {
  switch (frame.type) {
    case "welcome":
      return (
        `Welcome features ${frame.features} agent "${frame.agent}" epoch ${epochText(frame.epoch)} ` +
        `max_event_bytes ${frame.maxEventBytes} max_subscriptions ${frame.maxSubscriptions} ` +
        `heartbeat_ms ${frame.heartbeatMs} idle_timeout_ms ${frame.idleTimeoutMs} ` +
        `dedup_window_ms ${frame.dedupWindowMs} dedup_keys ${frame.dedupKeys} ` +
        `identity ${frame.identity} publisher_window_ms ${frame.publisherWindowMs} ` +
        `publishers ${frame.publishers}`
      );
    case "subscribed":
      return `Subscribed id ${frame.id} position ${idText(frame.position.epoch, frame.position.seq)}`;
    case "refused":
      return (
        `Refused id ${frame.id} ${code(frame.code)} message "${frame.message}" ` +
        optional("subject", frame.subject)
      );
    case "goodbye":
      return (
        `Goodbye ${code(frame.code)} message "${frame.message}" ` +
        `${optional("retry_after_ms", frame.retryAfterMs)} ${optional("address", frame.address)}`
      );
    case "token-accepted":
      return `TokenAccepted ${optional("expires_in_ms", frame.expiresInMs)}`;
  }
}

function item(item: WireItem): string {
  switch (item.type) {
    case "header": {
      const outcome = item.outcome.replace(/^./, (first) => first.toUpperCase());
      const epoch = epochText(item.epoch);
      return `Header id ${item.id} epoch ${epoch} position ${item.position} outcome ${outcome}`;
    }
    case "event":
      return (
        `Event ${idText(item.epoch, item.seq)} "${item.topic}" "${item.kind}" ` +
        `${time(item.time)} ${hex(item.data)}`
      );
    case "gap": {
      const reasons = ["retention", "lag", "skipped", "latest", "damaged"];
      const reason = reasons[Number(item.reason)] ?? `reason ${item.reason}`;
      return `Gap after ${item.after} to ${item.to} at_most ${item.atMost} reason ${reason}`;
    }
    case "heartbeat":
      return `Heartbeat ${idText(item.epoch, item.position)}`;
    case "epoch":
      return `Epoch ${epochText(item.epoch)}`;
  }
}

function answer(frame: AckFrame): string {
  switch (frame.type) {
    case "acknowledged":
      return `Acknowledged through ${frame.through} first ${frame.first} last ${frame.last}`;
    case "publish-refused":
      return `PublishRefused number ${frame.number} ${code(frame.code)} message "${frame.message}"`;
    case "acknowledged-epoch":
      return `AcknowledgedEpoch ${epochText(frame.epoch)}`;
  }
}

/** Decodes what a server sends, in pieces of some size, and describes it. */
function read({ stream, bytes }: Vector, piece: number): string[] {
  const meaning: string[] = [];
  const events = new EventDecoder(1 << 20);
  const frames = new FrameDecoder();
  const next = (): string | undefined => {
    if (stream === "events") {
      const decoded = events.next();
      return decoded && item(decoded);
    }
    const frame = frames.next();
    return frame && (stream === "server" ? server(decodeControl(frame)) : answer(decodeAnswer(frame)));
  };
  try {
    for (let at = 0; at < bytes.length; at += piece) {
      const chunk = bytes.slice(at, at + piece);
      events.push(chunk);
      frames.push(chunk);
      for (let text = next(); text !== undefined; text = next()) {
        meaning.push(`= ${text}`);
      }
    }
    assert(stream !== "events" || events.isBetweenFrames);
  } catch (error) {
    assert(error instanceof Failure, String(error));
    meaning.push(`! ${codeName(error.code ?? -1)}`);
  }
  return meaning;
}

test("what a server sends is read as the document says", () => {
  const chosen = vectors().filter(({ stream }) => ["server", "answers", "events"].includes(stream));
  for (const vector of chosen) {
    for (const piece of [Infinity, 1, 3]) {
      assert.deepEqual(read(vector, piece), vector.meaning, `${vector.name} by ${piece}`);
    }
  }
  assert(chosen.length >= 30, String(chosen.length));
});

/** Writes what a line says. */
function write(line: string): Uint8Array | undefined {
  const [, kind, rest = ""] = /^= (\w+) (.*)$/.exec(line) ?? assert.fail(line);
  const parts = (pattern: RegExp): string[] =>
    (pattern.exec(rest) ?? assert.fail(`${line} is not ${pattern}`)).slice(1);
  switch (kind) {
    case "Hello": {
      const [agent = "", token] = parts(/^features 0 agent "(.*?)" (?:no token|token "(.*)")$/);
      return encodeHello(agent, token);
    }
    case "Subscribe": {
      const [id, patterns = "", start = "", argument = "", onLag = ""] = parts(
        /^id (\d+) patterns (\[.*\]) start (\w+)(?:\((.*)\))? on_lag (\w+)$/,
      );
      const lags: Record<string, OnLag> = {
        CatchUp: "catch-up",
        Skip: "skip",
        Latest: "latest",
        Disconnect: "disconnect",
      };
      const starts: Record<string, () => WireStart> = {
        Live: () => ({ type: "live" }),
        Earliest: () => ({ type: "earliest" }),
        After: () => ({ type: "after", id: parseId(argument) ?? assert.fail(argument) }),
        Since: () => ({ type: "since", time: microsOf(argument) }),
        Last: () => ({ type: "last", count: Number(argument) }),
      };
      const [begin, lag] = [starts[start], lags[onLag]];
      assert(begin !== undefined && lag !== undefined, line);
      return encodeSubscribe(Number(id), JSON.parse(patterns) as string[], begin(), lag);
    }
    case "Unsubscribe":
      return encodeUnsubscribe(Number(parts(/^id (\d+)$/)[0]));
    case "RefreshToken":
      return encodeRefreshToken(parts(/^token "(.*)"$/)[0] as string);
    case "OpenPublisher": {
      if (rest.includes("numbered")) {
        return undefined; // This library never sends these.
      }
      const [ordered, name, id = ""] = parts(/^ordered (\w+) (?:named "(.*)"|own) id (\w+)$/);
      const scope = name === undefined ? { type: "own" as const } : { type: "named" as const, name };
      return encodeOpenPublisher(ordered === "true", { ...scope, id: bytesOf(id) });
    }
    case "Publish": {
      const [what, name = "", kind = "", key, epoch, after, data = ""] = parts(
        /^(\w+) "(.*?)" kind "(.*?)" (?:key (\S+) )?(?:retry of (\S+) after (\d+) ms )?data (\S+)$/,
      );
      const retry = { epoch: parseId(`${epoch}-0`)?.epoch ?? 0n, milliseconds: Number(after) };
      return encodePublish({
        name,
        isPattern: what === "matching",
        kind,
        key: key === undefined ? undefined : bytesOf(key),
        retry: epoch === undefined ? undefined : retry,
        data: bytesOf(data),
      });
    }
    default:
      return assert.fail(line);
  }
}

test("what a client sends is written as the document says", () => {
  let count = 0;
  for (const { name, stream, bytes, meaning } of vectors()) {
    const isValid = meaning.every((line) => line.startsWith("="));
    if (!["client", "publisher"].includes(stream) || !isValid) {
      continue;
    }
    const frames = meaning.map(write);
    if (frames.every((frame) => frame !== undefined)) {
      assert.equal(Buffer.concat(frames).toString("hex"), hex(bytes), name);
      count += 1;
    }
  }
  assert(count >= 13, String(count));
});
