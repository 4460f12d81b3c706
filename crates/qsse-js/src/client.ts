import { Connection } from "./connection.js";
import { CursorSaver, localCursor } from "./cursor_store.js";
import { dialer } from "./dial.js";
import { type CloseReason, SubscriptionError } from "./errors.js";
import type { Event } from "./event.js";
import { nameProblem } from "./names.js";
import type { Item, Notice } from "./notice.js";
import { baseOf, type ConnectOptions, type Data } from "./options.js";
import type { PublishOptions, SubscribeOptions } from "./options.js";
import { publish, requestOf } from "./publishing.js";
import type { Published, TransportName } from "./session.js";
import type { ConnectionState } from "./state.js";
import { Subscription } from "./subscription.js";

/**
 * Connects to a server. The URL is that under which it answers HTTP, such as
 * `https://push.example.org`; a relative one is of the page's own server.
 *
 * ```ts
 * const client = await connect("https://push.example.org", { token: () => fetchToken() });
 * ```
 *
 * @throws ConnectError if the server cannot be reached or does not admit the client. With
 * `retry: true`, only the latter.
 */
export async function connect(url: string | URL, options: ConnectOptions = {}): Promise<Client> {
  const connection = new Connection(dialer(baseOf(url), options), options);
  await connection.connect();
  return new Client(connection, options);
}

/**
 * A client of a server. A lost connection is restored, and subscriptions go on after the last event
 * that they handed out.
 */
export class Client {
  readonly #connection: Connection;
  readonly #options: ConnectOptions;

  /** Made by {@link connect}. */
  constructor(connection: Connection, options: ConnectOptions) {
    this.#connection = connection;
    this.#options = options;
  }

  /** How the client reaches the server now; `undefined` while there is no connection. */
  get transport(): TransportName | undefined {
    return this.#connection.current?.transport;
  }

  /** The state of the connection. The option `onState` reports each change. */
  get state(): ConnectionState {
    return this.#connection.state;
  }

  /** Resolves when the client is closed for good, with the reason. */
  get closed(): Promise<CloseReason> {
    return this.#connection.closed;
  }

  /**
   * Subscribes to a pattern or several. The request is sent at once; await
   * {@link Subscription.ready} to know that the server has confirmed it.
   *
   * ```ts
   * for await (const item of client.subscribe("ride.*.start", { start: "last:1" })) {
   *   if (item.type === "event") render(item.topic, item.json());
   *   else console.warn(String(item)); // events are or may be missing here
   * }
   * ```
   *
   * With the option `onNotice`, the loop yields only events:
   *
   * ```ts
   * const rides = client.subscribe("ride.*", { onNotice: (notice) => console.warn(String(notice)) });
   * for await (const event of rides) render(event.topic, event.json());
   * ```
   *
   * @throws SubscriptionError if a pattern is wrong. A refusal is thrown by the loop.
   */
  subscribe(
    patterns: string | readonly string[],
    options: SubscribeOptions & { onNotice: (notice: Notice) => void },
  ): Subscription<Event>;
  subscribe(
    patterns: string | readonly string[],
    options?: SubscribeOptions & { onNotice?: undefined },
  ): Subscription<Item>;
  subscribe(
    patterns: string | readonly string[],
    options: SubscribeOptions = {},
  ): Subscription<Item> {
    const list = typeof patterns === "string" ? [patterns] : [...patterns];
    const problems = list.map((pattern) => nameProblem(pattern, true));
    const problem = list.length === 0 ? "give at least one pattern" : problems.find(Boolean);
    if (problem !== undefined) {
      throw new SubscriptionError("invalid", problem);
    }
    const { cursor, after, start = "live", onLag = "catch-up", signal, onNotice } = options;
    const store = typeof cursor === "string" ? localCursor(cursor) : cursor;
    return new Subscription({
      connection: this.#connection,
      request: { patterns: list, start, onLag, after: store?.load() ?? after },
      saver: store === undefined ? undefined : new CursorSaver(store),
      signal,
      onNotice,
    });
  }

  /**
   * Publishes an event: text and bytes as they are, anything else as JSON. Resolves with its id once
   * the server has acknowledged it, which means that it is as safe as the server's setting says.
   *
   * If the connection is lost before, the event is sent again with the same key, by which the server
   * recognises what it has accepted: it is never published twice. Publishes keep their order if each
   * is awaited before the next.
   *
   * @throws PublishError if it was not published, or may not have been: see its `reason`.
   */
  async publish(topic: string, data: Data, options: PublishOptions = {}): Promise<string> {
    const published = await this.#publish(topic, false, data, options);
    return published.last as string;
  }

  /**
   * Publishes an event on every topic that a pattern matches, among those that the server has
   * declared or has an event of: on all of them, or on none. A pattern that matches no topic is no
   * error: the count is then 0.
   *
   * @throws PublishError as {@link publish} does.
   */
  async publishMatching(
    pattern: string,
    data: Data,
    options: PublishOptions = {},
  ): Promise<Published> {
    return this.#publish(pattern, true, data, options);
  }

  /**
   * Gives the server a newer token. Streams that are open go on with the older one until it ends,
   * unless the transport is WebTransport. A token that was given as a value is replaced; a function
   * stays, and is asked before the next connect.
   *
   * @throws Error if there is no connection at this moment, or the server refuses the token.
   */
  async refreshToken(token: string): Promise<void> {
    this.#connection.setToken(token);
    await this.#connection.current?.refresh(token);
  }

  /** Closes the client at once. Loops over its subscriptions end. */
  close(): void {
    this.#connection.close({ type: "local" });
  }

  async #publish(
    name: string,
    isPattern: boolean,
    data: Data,
    options: PublishOptions,
  ): Promise<Published> {
    const request = requestOf(name, isPattern, data, options);
    return publish(this.#connection, request, this.#options.publishWait, options.signal);
  }
}
