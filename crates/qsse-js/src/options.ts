import type { ReconnectPolicy } from "./backoff.js";
import type { CursorStore } from "./cursor_store.js";
import { ConnectError } from "./errors.js";
import type { Notice } from "./notice.js";
import type { OnLag, Start } from "./session.js";
import type { ConnectionState } from "./state.js";

/** A token, or a function that is asked for one before each connect. */
export type Token = string | (() => string | undefined | Promise<string | undefined>);

/** The settings of a client. */
export interface ConnectOptions {
  /**
   * Who the client is. A function is asked before each connect, and again when the token has ended.
   * Default: no token.
   */
  token?: Token;
  /**
   * How to reach the server. `auto`, the default, tries WebTransport for a second, and then uses
   * fetch.
   */
  transport?: "auto" | "web-transport" | "fetch";
  /**
   * Where WebTransport is. Default: `/qsse/1` on the host and port of the server's URL, which is the
   * same number in UDP.
   */
  webTransport?: string;
  /**
   * The SHA-256 fingerprint of the certificate that WebTransport trusts, in hexadecimal, for a
   * development certificate. Default: what browsers trust, or what a server on this machine
   * publishes.
   */
  fingerprint?: string | readonly string[];
  /** Whether a first connect that fails is tried again like later ones. Default `false`. */
  retry?: boolean;
  /** How a lost connection is restored; `false` closes the client instead. */
  reconnect?: ReconnectPolicy | false;
  /** How long one attempt to connect may take, in milliseconds. Default 5,000. */
  connectTimeout?: number;
  /** How long a publish waits for a lost connection, in milliseconds. Default 10,000. */
  publishWait?: number;
  /**
   * How long the server may be silent before a connection counts as lost, in milliseconds; 0 for
   * any time. It sends something at least every `limits.heartbeat`, which is 10 s unless it was
   * configured. Default 45,000.
   */
  silence?: number;
  /** Whether requests have cookies, as in fetch. Default `same-origin`. */
  credentials?: RequestCredentials;
  /** The function that sends requests. Default: the global `fetch`. */
  fetch?: typeof fetch;
  /** Closes the client when it aborts. */
  signal?: AbortSignal;
  /** Is called with each new state of the connection. */
  onState?: (state: ConnectionState) => void;
}

/** The settings of a subscription. */
export interface SubscribeOptions {
  /** Where it begins. Default `live`: with the next event that is published. */
  start?: Start;
  /** The id of an event after which it begins, which wins over `start`. */
  after?: string;
  /** What happens when it falls behind the live feed. Default `catch-up`. */
  onLag?: OnLag;
  /**
   * Where its cursor is kept, so that it goes on there in its next run; a text is a name in
   * `localStorage`. A cursor that is there wins over `after` and `start`. It is the position of the
   * last item after which the next one was asked for, and is saved up to ten times a second.
   */
  cursor?: string | CursorStore;
  /** Ends it when it aborts: the loop then throws the signal's reason. */
  signal?: AbortSignal;
  /**
   * Gets the gaps and resets. With it the loop yields only events; without it, it yields the
   * notices too.
   */
  onNotice?: ((notice: Notice) => void) | undefined;
}

/** The settings of a publish. */
export interface PublishOptions {
  /** What sort of event it is, up to 64 bytes. Default `message`. */
  kind?: string;
  /**
   * A text that identifies it, of 1 to 64 visible ASCII characters: a publish with a key that the
   * server knows makes no second event and returns the id of the first. Default: a random one.
   */
  key?: string;
  /** Gives up when it aborts. The event may have been published or not. */
  signal?: AbortSignal;
}

/** What can be published: text and bytes as they are, and anything else as JSON. */
export type Data = string | ArrayBuffer | ArrayBufferView<ArrayBuffer> | object | number | boolean | null;

/**
 * Returns the URL under which a server's routes are, without a slash at the end. A relative URL is
 * one of the page's server.
 *
 * @throws ConnectError if it is none.
 */
export function baseOf(url: string | URL): string {
  const page = globalThis.location as Location | undefined;
  let parsed: URL;
  try {
    parsed = new URL(url, page?.href);
  } catch (cause) {
    const message = `${JSON.stringify(String(url))} is no URL: write https://HOST`;
    throw new ConnectError("invalid", message, { cause });
  }
  if (!/^https?:$/.test(parsed.protocol) || parsed.search !== "" || parsed.username !== "") {
    const message = `${parsed.origin}: write https://HOST[:PORT][/PATH], without a query or a name`;
    throw new ConnectError("invalid", message);
  }
  return parsed.origin + parsed.pathname.replace(/\/+$/, "");
}
