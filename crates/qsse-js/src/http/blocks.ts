import { Code } from "../code.js";
import { Event } from "../event.js";
import { Failure, refusal } from "../failure.js";
import { Gap, Reset } from "../notice.js";
import type { StreamItem } from "../session.js";
import type { Block } from "./parser.js";

/** An event as the server writes it with `format=json` (QP-14.6). */
interface EventBody {
  readonly topic: string;
  readonly kind: string;
  readonly time: string;
  readonly data: string;
  readonly encoding?: string;
}

interface GapBody {
  readonly from: string;
  readonly to: string;
  readonly at_most: number;
  readonly reason: string;
}

interface ResetBody {
  readonly after: string | null;
  readonly position: string;
}

interface EndBody {
  readonly code: number;
  readonly message: string;
  readonly retry: boolean;
}

/**
 * Returns what a block says. `retry` is how long the server asks to wait.
 *
 * @throws Failure if the block ends the stream, or cannot be read.
 */
export function readBlock(block: Block, retry: number | undefined): StreamItem {
  if (block.data === undefined) {
    return { type: "moved", id: block.id };
  }
  switch (block.event) {
    case "qsse.gap": {
      const gap = parse<GapBody>(block.data);
      return new Gap(gap.from, gap.to, gap.at_most, gap.reason);
    }
    case "qsse.reset": {
      const reset = parse<ResetBody>(block.data);
      return new Reset(reset.after, reset.position);
    }
    case "qsse.end":
      throw ended(parse<EndBody>(block.data), retry);
    default: {
      const event = parse<EventBody>(block.data);
      const content = event.encoding === "base64" ? bytes(event.data) : event.data;
      return new Event(block.id, event.topic, event.kind, event.time, content);
    }
  }
}

function parse<T extends object>(text: string): T {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw unreadable(cause);
  }
  if (typeof value !== "object" || value === null) {
    throw unreadable(undefined);
  }
  return value as T;
}

function unreadable(cause: unknown): Failure {
  const message =
    "the server sent what cannot be read: is it a qsse server, and is this library as new?";
  return new Failure("protocol", message, { cause });
}

function bytes(base64: string): Uint8Array {
  return Uint8Array.from(atob(base64), (char) => char.charCodeAt(0));
}

function ended(end: EndBody, retry: number | undefined): Failure {
  const { code } = end;
  const details = { code, retryAfter: retry };
  const message = refusal(code, end.message);
  switch (code) {
    case Code.TOKEN_EXPIRED:
      return new Failure("token", message, { code });
    case Code.SHUTTING_DOWN:
      return new Failure("lost", message, details);
    case Code.LAGGED:
      return new Failure("busy", message, { code, retryAfter: 0 });
    default:
      return new Failure(end.retry ? "busy" : "final", message, details);
  }
}
