import { AbortGroup, orAbort } from "./abort.js";
import { Backoff } from "./backoff.js";
import { Code } from "./code.js";
import { type CloseReason, ConnectError, messageOf } from "./errors.js";
import { Failure } from "./failure.js";
import type { ConnectOptions } from "./options.js";
import { Pauses } from "./pause.js";
import type { Session } from "./session.js";
import type { ConnectionState } from "./state.js";
import { onWake } from "./wake.js";

/** Opens a session with this token. */
export type Dial = (token: string | undefined, signal: AbortSignal) => Promise<Session>;

/** How long one attempt may take, in milliseconds. */
const TIMEOUT = 5_000;

/** How long a session lasts that shows that the server is well, in milliseconds. */
const LASTING = 5_000;

/**
 * The connection of a client: at most one session at a time. It connects again when the session is
 * lost, and asks for a token before each attempt.
 */
export class Connection {
  /** Resolves when the client is closed. */
  readonly closed: Promise<CloseReason>;
  /** Aborts what goes on when the client is closed. */
  readonly users = new AbortGroup();
  /** Ends waits for the next attempt when the tab or the network wakes. */
  readonly pauses = new Pauses();
  readonly #dial: Dial;
  readonly #options: ConnectOptions;
  readonly #backoff: Backoff;
  readonly #abort = new AbortController();
  readonly #unwake: () => void;
  #resolveClosed!: (reason: CloseReason) => void;
  #state: ConnectionState = { status: "connecting" };
  #current: Session | undefined;
  #next: Promise<Session> | undefined;
  #token: string | undefined;
  #since = 0;

  constructor(dial: Dial, options: ConnectOptions) {
    this.#dial = dial;
    this.#options = options;
    this.#backoff = new Backoff(options.reconnect === false ? {} : options.reconnect);
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve;
    });
    this.#unwake = onWake(() => this.#wake());
    const { signal } = options;
    signal?.addEventListener("abort", () => this.close({ type: "local" }), { once: true });
    if (signal?.aborted === true) {
      this.close({ type: "local" });
    }
  }

  /** The state of the connection. */
  get state(): ConnectionState {
    return this.#state;
  }

  /** Aborts when the client is closed. */
  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  /** The session, if there is one now. */
  get current(): Session | undefined {
    return this.#current;
  }

  /**
   * Connects for the first time.
   *
   * @throws ConnectError if that fails.
   */
  async connect(): Promise<void> {
    if (this.signal.aborted) {
      throw new ConnectError("invalid", "the signal has aborted", { cause: this.signal.reason });
    }
    try {
      await this.#attempt();
    } catch (error) {
      const failure = connectError(error);
      if (this.#options.retry !== true || !failure.isRetryable) {
        this.close({ type: "failed", error: failure });
        throw failure;
      }
      this.#reconnect(failure, undefined);
      await this.session();
    }
  }

  /** Returns the session. Waits for the next one while there is none; rejects once it is closed. */
  session(): Promise<Session> {
    if (this.#current !== undefined) {
      return Promise.resolve(this.#current);
    }
    const closed = (): Promise<Session> => Promise.reject(this.signal.reason as Error);
    return this.signal.aborted ? closed() : (this.#next ?? closed());
  }

  /** Gives a session up, unless another one has taken its place. */
  lose(session: Session, failure: Failure): void {
    if (this.#current !== session) {
      return;
    }
    this.#current = undefined;
    // A server that shuts down writes every stream to its end: each is read so far.
    session.close(failure.code === Code.SHUTTING_DOWN);
    if (performance.now() - this.#since > LASTING) {
      this.#backoff.reset();
    }
    if (this.#options.reconnect === false) {
      this.close({ type: "lost", error: failure });
    } else {
      this.#reconnect(failure, failure.retryAfter);
    }
  }

  /** Replaces a token that was given as a value. */
  setToken(token: string): void {
    this.#token = token;
  }

  /** Closes the client for good. */
  close(reason: CloseReason): void {
    if (this.signal.aborted) {
      return;
    }
    this.#unwake();
    const error = reason.type === "local" ? new Error("the client is closed") : reason.error;
    this.#abort.abort(error);
    this.users.abort(error);
    this.#current?.close();
    this.#current = undefined;
    this.#resolveClosed(reason);
    this.#show({ status: "closed", reason });
  }

  #wake(): void {
    this.pauses.end();
    this.#current?.check();
  }

  #show(state: ConnectionState): void {
    this.#state = state;
    this.#options.onState?.(state);
  }

  #reconnect(reason: Error, atLeast: number | undefined): void {
    const next = this.#loop(reason, atLeast ?? 0);
    // Whoever waits gets the error too; nobody may be waiting.
    next.catch(() => undefined);
    this.#next = next;
  }

  async #loop(reason: Error, atLeast: number): Promise<Session> {
    for (let attempt = 1; ; attempt += 1) {
      const delay = this.#backoff.next(atLeast);
      this.#show({ status: "reconnecting", attempt, delay, reason });
      await this.pauses.wait(delay, this.signal);
      try {
        return await this.#attempt();
      } catch (error) {
        this.signal.throwIfAborted();
        const failure = connectError(error);
        if (!failure.isRetryable) {
          this.close({ type: "failed", error: failure });
          throw failure;
        }
        reason = failure;
        atLeast = (error instanceof Failure ? error.retryAfter : undefined) ?? 0;
      }
    }
  }

  async #attempt(): Promise<Session> {
    const timeout = this.#options.connectTimeout ?? TIMEOUT;
    const late = new AbortController();
    const timer = setTimeout(() => {
      const message = `the server did not answer within ${timeout} ms: is it running there?`;
      late.abort(new Failure("lost", message));
    }, timeout);
    const close = (): void => late.abort(this.signal.reason);
    this.signal.addEventListener("abort", close, { once: true });
    try {
      const token = await orAbort(this.#askToken(), late.signal);
      const session = await orAbort(this.#dial(token, late.signal), late.signal);
      this.#use(session);
      return session;
    } finally {
      clearTimeout(timer);
      this.signal.removeEventListener("abort", close);
    }
  }

  #use(session: Session): void {
    if (this.signal.aborted) {
      session.close();
      throw this.signal.reason;
    }
    this.#current = session;
    this.#since = performance.now();
    void session.lost.then((error) => this.lose(session, Failure.of(error)));
    this.#show({ status: "connected", transport: session.transport });
  }

  async #askToken(): Promise<string | undefined> {
    const { token } = this.#options;
    if (typeof token !== "function") {
      return this.#token ?? token;
    }
    try {
      return await token();
    } catch (cause) {
      const message = `the token function failed: ${messageOf(cause)}`;
      throw new ConnectError("token", message, { cause, retryable: true });
    }
  }
}

function connectError(error: unknown): ConnectError {
  if (error instanceof ConnectError) {
    return error;
  }
  const failure = Failure.of(error);
  const { code, status, message } = failure;
  const details = { code, status, cause: error };
  switch (failure.kind) {
    case "token":
      return new ConnectError("refused", `the server refused the token: ${message}`, details);
    case "final":
      return new ConnectError("refused", `the server refused the client: ${message}`, details);
    case "protocol":
      return new ConnectError("unreachable", message, details);
    default:
      return new ConnectError("unreachable", `cannot connect: ${message}`, {
        ...details,
        retryable: true,
      });
  }
}
