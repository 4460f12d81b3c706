import type { WireStart } from "../codec/control.js";
import { SubscriptionError } from "../errors.js";
import { parseId } from "../position.js";
import type { SubscribeRequest } from "../session.js";

/** A position that is of no log: the subscription begins with a reset, as it does over HTTP. */
const FOREIGN = { epoch: 0n, seq: 0n };

const UNITS: Record<string, number> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/**
 * Returns where a subscription begins, as a frame has it. `now` is in milliseconds.
 *
 * @throws SubscriptionError if the start is none.
 */
export function wireStart({ start, after }: SubscribeRequest, now: number): WireStart {
  if (after !== undefined) {
    return { type: "after", id: parseId(after) ?? FOREIGN };
  }
  if (start instanceof Date) {
    return since(start.getTime());
  }
  if (start === "live" || start === "earliest") {
    return { type: start };
  }
  const count = /^last:([1-9]\d*)$/.exec(start)?.[1];
  if (count !== undefined && Number(count) <= 0xffff_ffff) {
    return { type: "last", count: Number(count) };
  }
  const [, back, unit = ""] = /^since:(\d+)(ms|s|m|h|d)$/.exec(start) ?? [];
  const millis = UNITS[unit];
  if (back !== undefined && millis !== undefined) {
    return since(now - Number(back) * millis);
  }
  const time = start.startsWith("since:") ? Date.parse(start.slice(6)) : Number.NaN;
  if (!Number.isNaN(time)) {
    return since(time);
  }
  const message = `start=${JSON.stringify(start)}: write live, earliest, last:10, since:10m or a Date`;
  throw new SubscriptionError("invalid", message);
}

function since(millis: number): WireStart {
  return { type: "since", time: BigInt(Math.max(0, Math.floor(millis))) * 1_000n };
}
