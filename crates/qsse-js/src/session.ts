import type { Item } from "./notice.js";

/** How a client reaches its server. */
export type TransportName = "web-transport" | "fetch";

/**
 * Where a subscription begins: with the next event, the oldest one that the server keeps, the last
 * events of each topic, or the first event of a time (a `Date`, or a duration back from now such as
 * `since:10m`).
 */
export type Start = "live" | "earliest" | `last:${number}` | `since:${string}` | Date;

/**
 * What happens when a subscription falls behind the live feed: it catches up from history, skips to
 * the newest events, gets the last event of each topic, or ends. All but the first report a gap.
 */
export type OnLag = "catch-up" | "skip" | "latest" | "disconnect";

/** What a subscription asks of the server. */
export interface SubscribeRequest {
  readonly patterns: readonly string[];
  readonly start: Start;
  readonly onLag: OnLag;
  /** The position after which to go on, which wins over `start`. */
  readonly after: string | undefined;
}

/** A position that moved without an event. */
export interface Moved {
  readonly type: "moved";
  readonly id: string;
}

/** What a stream yields. */
export type StreamItem = Item | Moved;

/** The events of a subscription over one connection. Failures are thrown as `Failure`. */
export interface EventStream {
  /** Returns the next item that has arrived, decoded now. */
  take(): StreamItem | undefined;
  /** Waits for more. Returns `false` at the end. */
  fill(): Promise<boolean>;
  /** Ends the stream. */
  cancel(): void;
}

/** An event that is to be published. */
export interface PublishRequest {
  readonly name: string;
  readonly isPattern: boolean;
  readonly kind: string | undefined;
  readonly key: string;
  readonly data: string | Uint8Array<ArrayBuffer>;
}

/** The events that a publish has made: one, or one on each topic that a pattern matches. */
export interface Published {
  /** The number of events. */
  readonly count: number;
  /** The id of the first one; `null` if there is none. */
  readonly first: string | null;
  /** The id of the last one; `null` if there is none. */
  readonly last: string | null;
}

/** A connection to a server that has admitted the client. Failures are thrown as `Failure`. */
export interface Session {
  readonly transport: TransportName;
  /** Resolves, with the reason, when the connection is lost. */
  readonly lost: Promise<Error>;
  /** Opens a subscription. Resolves once the server has confirmed it. */
  subscribe(request: SubscribeRequest, signal: AbortSignal): Promise<EventStream>;
  /** Publishes. Resolves once the server has acknowledged it. */
  publish(request: PublishRequest, signal: AbortSignal): Promise<Published>;
  /** Replaces the token. */
  refresh(token: string): Promise<void>;
  /** Checks that the server is still there, after the tab or the network slept. */
  check(): void;
  /** Ends the connection. Gently, streams that are open are read to their ends first. */
  close(isGentle?: boolean): void;
}
