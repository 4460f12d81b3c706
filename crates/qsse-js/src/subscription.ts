import { follow, orAbort } from "./abort.js";
import { Backoff } from "./backoff.js";
import { Code } from "./code.js";
import type { Connection } from "./connection.js";
import { CursorSaver } from "./cursor_store.js";
import { ConnectError, messageOf, SubscriptionError } from "./errors.js";
import type { Event } from "./event.js";
import { Failure } from "./failure.js";
import type { Item, Notice } from "./notice.js";
import type { EventStream, Session, StreamItem, SubscribeRequest } from "./session.js";

/** A stream, and the session that it is of. */
interface Opened {
  readonly stream: EventStream;
  readonly session: Session;
}

/** What a subscription is made of. */
export interface SubscriptionParts {
  readonly connection: Connection;
  readonly request: SubscribeRequest;
  readonly saver: CursorSaver | undefined;
  readonly signal: AbortSignal | undefined;
  readonly onNotice: ((notice: Notice) => void) | undefined;
}

/**
 * The events that match some patterns, for `for await`. It survives lost connections: it goes on
 * after the last item that it handed out, and nothing is lost or comes twice. A break out of the
 * loop ends it.
 *
 * An item is decoded when it is asked for. A loop that is slow is behind, and holds no more than one
 * chunk of the network in memory.
 *
 * @typeParam T what it yields: events and notices, or only events if `onNotice` takes the others.
 */
export class Subscription<T extends Item = Item> implements AsyncIterableIterator<T> {
  readonly #parts: SubscriptionParts;
  readonly #abort = new AbortController();
  readonly #unfollow: () => void;
  readonly #backoff = new Backoff();
  readonly #items: AsyncGenerator<T, undefined>;
  #opening: Promise<Opened>;
  #cursor: string | undefined;
  #ended = false;

  /** Made by `client.subscribe`. It asks the server at once. */
  constructor(parts: SubscriptionParts) {
    this.#parts = parts;
    this.#cursor = parts.request.after;
    const leave = parts.connection.users.add(this.#abort);
    const unfollow = follow(this.#abort, parts.signal);
    this.#unfollow = () => {
      leave();
      unfollow();
    };
    this.#opening = this.#open();
    // The loop reports it, if there is one.
    this.#opening.catch(() => undefined);
    this.#items = this.#run();
  }

  /**
   * The position of the last item that was handed out, or a later one that the server has reported:
   * another subscription can go on `after` it. `undefined` before the server has confirmed the
   * subscription.
   */
  get cursor(): string | undefined {
    return this.#cursor;
  }

  /**
   * Waits until the server has confirmed the subscription: every matching event that is published
   * from then on is delivered.
   *
   * @throws SubscriptionError if it is refused.
   */
  async ready(): Promise<void> {
    try {
      await this.#opening;
    } catch (error) {
      throw this.#failed(error);
    }
  }

  /**
   * Returns the next item.
   *
   * @throws SubscriptionError if the subscription has ended, or the reason of the signal.
   */
  next(): Promise<IteratorResult<T, undefined>> {
    return this.#items.next();
  }

  /** Ends the subscription; a break out of the loop calls it. */
  async return(): Promise<IteratorResult<T, undefined>> {
    this.close();
    void this.#items.return(undefined);
    return { done: true, value: undefined };
  }

  /** Ends the subscription. A loop over it ends. */
  close(): void {
    this.#ended = true;
    this.#abort.abort(new Error("the subscription is closed"));
    this.#finish();
  }

  /** Returns itself. */
  [Symbol.asyncIterator](): this {
    return this;
  }

  async *#run(): AsyncGenerator<T, undefined> {
    const { onNotice, saver } = this.#parts;
    try {
      for (;;) {
        const opened = await this.#opening;
        try {
          for (let item = await this.#pull(opened); item; item = await this.#pull(opened)) {
            // A gap does not move the cursor: who goes on inside of one gets it again.
            const moved = positionOf(item);
            this.#cursor = moved ?? this.#cursor;
            if (item.type === "event" || (item.type !== "moved" && onNotice === undefined)) {
              yield item as T;
            } else if (item.type !== "moved") {
              onNotice?.(item);
            }
            if (moved !== undefined) {
              // The loop has asked for the next item, so it is done with this one.
              saver?.save(moved);
            }
          }
        } finally {
          opened.stream.cancel();
        }
      }
    } catch (error) {
      if (this.#ended || this.#isLocal()) {
        return undefined;
      }
      throw this.#failed(error);
    } finally {
      this.#finish();
    }
  }

  /** Returns the next item of a stream, or `undefined` once another stream is being opened. */
  async #pull({ stream, session }: Opened): Promise<StreamItem | undefined> {
    try {
      for (;;) {
        this.#abort.signal.throwIfAborted();
        const item = stream.take();
        if (item !== undefined) {
          this.#backoff.reset();
          return item;
        }
        if (!(await stream.fill())) {
          throw new Failure("lost", "the server ended the stream");
        }
      }
    } catch (error) {
      this.#opening = this.#reopen(session, error);
      this.#opening.catch(() => undefined);
      return undefined;
    }
  }

  async #open(): Promise<Opened> {
    for (;;) {
      const { connection, request } = this.#parts;
      const signal = this.#abort.signal;
      const session = await orAbort(connection.session(), signal);
      try {
        const after = this.#cursor;
        const stream = await session.subscribe({ ...request, after }, signal);
        return { stream, session };
      } catch (error) {
        await this.#recover(session, error);
      }
    }
  }

  async #reopen(session: Session, error: unknown): Promise<Opened> {
    await this.#recover(session, error);
    return this.#open();
  }

  /** Does what a failure asks for before the next attempt, or throws it if there is none. */
  async #recover(session: Session, error: unknown): Promise<void> {
    this.#abort.signal.throwIfAborted();
    if (error instanceof SubscriptionError) {
      throw error;
    }
    const { connection, request } = this.#parts;
    const failure = Failure.of(error);
    switch (failure.kind) {
      case "lost":
      case "token":
        connection.lose(session, failure);
        return;
      case "busy":
        if (failure.code === Code.LAGGED && request.onLag === "disconnect") {
          throw failure;
        }
        await connection.pauses.wait(this.#backoff.next(failure.retryAfter), this.#abort.signal);
        return;
      default:
        throw failure;
    }
  }

  #isLocal(): boolean {
    const { state } = this.#parts.connection;
    return state.status === "closed" && state.reason.type === "local";
  }

  /** Returns the error for the user. */
  #failed(error: unknown): unknown {
    const { signal, connection } = this.#parts;
    if (signal?.aborted === true) {
      return signal.reason;
    }
    if (connection.signal.aborted) {
      const details = error instanceof ConnectError ? { code: error.code, status: error.status } : {};
      const message = `the client is closed: ${messageOf(connection.signal.reason)}`;
      return new SubscriptionError("closed", message, { ...details, cause: error });
    }
    return error instanceof Failure ? subscriptionError(error) : error;
  }

  #finish(): void {
    this.#unfollow();
    this.#parts.saver?.end();
    this.#opening.then(({ stream }) => stream.cancel()).catch(() => undefined);
  }
}

function positionOf(item: StreamItem): string | undefined {
  switch (item.type) {
    case "event":
    case "moved":
      return item.id;
    case "reset":
      return item.position;
    default:
      return undefined;
  }
}

function subscriptionError(failure: Failure): SubscriptionError {
  const { code, status, message } = failure;
  const details = { code, status, cause: failure };
  switch (failure.kind) {
    case "protocol":
      return new SubscriptionError("protocol", message, details);
    case "busy":
      return new SubscriptionError("lagged", message, { ...details, retryable: true });
    default:
      return new SubscriptionError("refused", `the server refused it: ${message}`, details);
  }
}

/** A subscription that yields only events. */
export type EventSubscription = Subscription<Event>;
