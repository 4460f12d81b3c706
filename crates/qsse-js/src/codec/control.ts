import type { Position } from "../position.js";
import type { OnLag } from "../session.js";
import type { Frame } from "./frames.js";
import { type Reader, violation } from "./reader.js";
import { Writer } from "./writer.js";

/** Where a subscription begins (QP-5.3). */
export type WireStart =
  | { readonly type: "live" | "earliest" }
  | { readonly type: "after"; readonly id: Position }
  /** Microseconds since 1970. */
  | { readonly type: "since"; readonly time: bigint }
  | { readonly type: "last"; readonly count: number };

const ON_LAG: readonly OnLag[] = ["catch-up", "skip", "latest", "disconnect"];

/** Encodes the first frame of a client. */
export function encodeHello(agent: string, token: string | undefined): Uint8Array {
  const writer = new Writer(0x01).v(0).text(agent);
  return writer.optional(token, (token) => writer.text(token)).finish();
}

/** Encodes the request for a subscription. */
export function encodeSubscribe(
  id: number,
  patterns: readonly string[],
  start: WireStart,
  onLag: OnLag,
): Uint8Array {
  const writer = new Writer(0x02).v(id).v(patterns.length);
  patterns.forEach((pattern) => writer.text(pattern));
  switch (start.type) {
    case "live":
      writer.v(0);
      break;
    case "after":
      writer.v(1).v(start.id.epoch).v(start.id.seq);
      break;
    case "earliest":
      writer.v(2);
      break;
    case "since":
      writer.v(3).v(start.time);
      break;
    case "last":
      writer.v(4).v(start.count);
      break;
  }
  return writer.v(ON_LAG.indexOf(onLag)).finish();
}

/** Encodes the end of a subscription. */
export function encodeUnsubscribe(id: number): Uint8Array {
  return new Writer(0x03).v(id).finish();
}

/** Encodes a newer token. */
export function encodeRefreshToken(token: string): Uint8Array {
  return new Writer(0x04).text(token).finish();
}

/** What a server says first, with its limits. */
export interface Welcome {
  readonly type: "welcome";
  readonly features: bigint;
  readonly agent: string;
  readonly epoch: bigint;
  readonly maxEventBytes: number;
  readonly maxSubscriptions: number;
  readonly heartbeatMs: number;
  readonly idleTimeoutMs: number;
  readonly dedupWindowMs: number;
  readonly dedupKeys: number;
  readonly identity: bigint;
  readonly publisherWindowMs: number;
  readonly publishers: number;
}

/** A frame of the server on the control stream. */
export type ServerFrame =
  | Welcome
  | { readonly type: "subscribed"; readonly id: number; readonly position: Position }
  | {
      readonly type: "refused";
      readonly id: number;
      readonly code: number;
      readonly message: string;
      readonly subject: string | undefined;
    }
  | {
      readonly type: "goodbye";
      readonly code: number;
      readonly message: string;
      readonly retryAfterMs: number | undefined;
      readonly address: string | undefined;
    }
  | { readonly type: "token-accepted"; readonly expiresInMs: bigint | undefined };

/** Decodes a frame of the server on the control stream. */
export function decodeControl({ kind, body }: Frame): ServerFrame {
  const frame = decodeBody(kind, body);
  body.finish();
  return frame;
}

function decodeBody(kind: number, body: Reader): ServerFrame {
  switch (kind) {
    case 0x11:
      return {
        type: "welcome",
        features: body.u64(),
        agent: body.text(),
        epoch: body.u64(),
        maxEventBytes: body.u32(),
        maxSubscriptions: body.u32(),
        heartbeatMs: body.u32(),
        idleTimeoutMs: body.u32(),
        dedupWindowMs: body.u32(),
        dedupKeys: body.u32(),
        identity: body.u64(),
        publisherWindowMs: body.u32(),
        publishers: body.u32(),
      };
    case 0x12:
      return {
        type: "subscribed",
        id: body.u32(),
        position: { epoch: body.u64(), seq: body.u64() },
      };
    case 0x13:
      return {
        type: "refused",
        id: body.u32(),
        code: Number(body.u64()),
        message: body.text(),
        subject: body.optional(() => body.text()),
      };
    case 0x14:
      return {
        type: "goodbye",
        code: Number(body.u64()),
        message: body.text(),
        retryAfterMs: body.optional(() => body.u32()),
        address: body.optional(() => body.text()),
      };
    case 0x15:
      return { type: "token-accepted", expiresInMs: body.optional(() => body.u64()) };
    default:
      throw violation(`a frame of kind ${kind} is not of the control stream`);
  }
}
