import type { Event } from "./event.js";

/** A report that events may be missing here. The subscription goes on after it. */
export class Gap {
  /** Tells a gap from an {@link Event} and a {@link Reset}. */
  readonly type = "gap";

  /** Made by a subscription. */
  constructor(
    /** The first id that may be missing. */
    readonly from: string,
    /** The last id that may be missing. */
    readonly to: string,
    /** How many events of the whole log are missing at most, whatever their topics. */
    readonly atMost: number,
    /** Why they are missing, in words. */
    readonly reason: string,
  ) {}

  /** Describes it. */
  toString(): string {
    const count = this.atMost === 1 ? "1 event" : `${this.atMost} events`;
    return `at most ${count} from ${this.from} to ${this.to} may be missing: ${this.reason}`;
  }
}

/**
 * A report that the server's log does not have the position of the subscription, because the log is
 * new or was restored from an older copy. The subscription goes on with the oldest event that the
 * server keeps.
 */
export class Reset {
  /** Tells a reset from an {@link Event} and a {@link Gap}. */
  readonly type = "reset";

  /** Made by a subscription. */
  constructor(
    /** The position that the subscription had; `null` if it was not an id. */
    readonly after: string | null,
    /** The position at which it goes on. */
    readonly position: string,
  ) {}

  /** Describes it. */
  toString(): string {
    return `the server has another log: the subscription goes on after ${this.position}`;
  }
}

/** What a subscription reports between two events. */
export type Notice = Gap | Reset;

/** What a subscription yields: an event, or a notice that events are or may be missing. */
export type Item = Event | Notice;
