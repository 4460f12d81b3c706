import { follow, orAbort } from "./abort.js";
import { Backoff } from "./backoff.js";
import { Code } from "./code.js";
import type { Connection } from "./connection.js";
import { messageOf, PublishError } from "./errors.js";
import { Failure } from "./failure.js";
import { nameProblem } from "./names.js";
import type { Data, PublishOptions } from "./options.js";
import type { Published, PublishRequest, Session } from "./session.js";

/**
 * How long a publish is tried again after an attempt whose outcome is unknown, in milliseconds: half
 * of the time for which a server remembers its key, unless it was configured (QP-8.14).
 */
const RETRY = 60_000;

/** How long a publish waits for a connection, in milliseconds. */
const WAIT = 10_000;

/**
 * Publishes an event, and tries again with the same key when the connection is lost before the
 * answer: the server recognises what it has accepted.
 *
 * @throws PublishError if it was not published, or may not have been.
 */
export async function publish(
  connection: Connection,
  request: PublishRequest,
  wait: number | undefined,
  signal: AbortSignal | undefined,
): Promise<Published> {
  const abort = new AbortController();
  const leave = connection.users.add(abort);
  const unfollow = follow(abort, signal);
  const attempts = new Attempts(connection, request, wait ?? WAIT, abort);
  try {
    return await attempts.run();
  } catch (error) {
    if (signal?.aborted === true && !(error instanceof PublishError)) {
      throw signal.reason;
    }
    throw attempts.failed(error);
  } finally {
    attempts.end();
    leave();
    unfollow();
  }
}

/** The attempts at one publish. */
class Attempts {
  readonly #backoff = new Backoff();
  /** Whether an attempt may have been accepted. */
  #ambiguous = false;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    readonly connection: Connection,
    readonly request: PublishRequest,
    readonly wait: number,
    readonly abort: AbortController,
  ) {
    this.#limit(wait, `there was no connection for ${wait} ms`);
  }

  async run(): Promise<Published> {
    const { signal } = this.abort;
    for (;;) {
      const session = await orAbort(this.connection.session(), signal);
      // The time to wait for a connection is over; an answer may take longer.
      this.end();
      if (this.#ambiguous) {
        this.#limit(RETRY, "too much time has passed to ask the server again");
      }
      try {
        return await session.publish(this.request, signal);
      } catch (error) {
        signal.throwIfAborted();
        await this.#recover(session, Failure.of(error));
      }
    }
  }

  /** Returns the error for the user. */
  failed(error: unknown): PublishError {
    if (error instanceof PublishError) {
      return error;
    }
    const failure = error instanceof Failure ? error : undefined;
    const details = { code: failure?.code, status: failure?.status, cause: error };
    if (this.#ambiguous) {
      const message = `the event may have been published or not: ${messageOf(error)}`;
      return new PublishError("outcome-unknown", message, details);
    }
    if (failure === undefined || this.connection.signal.aborted) {
      return new PublishError("closed", `the client is closed: ${messageOf(error)}`, details);
    }
    if (failure === this.abort.signal.reason) {
      const message = `${failure.message}: nothing was published; try again later`;
      return new PublishError("not-connected", message, { ...details, retryable: true });
    }
    const message = `the server refused the event: ${failure.message}`;
    const retryable = failure.kind === "busy" || failure.kind === "lost";
    return new PublishError("refused", message, { ...details, retryable });
  }

  /** Stops the clock. */
  end(): void {
    clearTimeout(this.#timer);
  }

  async #recover(session: Session, failure: Failure): Promise<void> {
    if (!this.#ambiguous && failure.ambiguous) {
      this.#ambiguous = true;
    }
    if (failure.code === Code.OUTCOME_UNKNOWN) {
      this.#ambiguous = true;
      throw failure;
    }
    if (failure.code === Code.STORE_UNAVAILABLE) {
      throw failure;
    }
    this.#limit(
      this.#ambiguous ? RETRY : this.wait,
      this.#ambiguous ? "too much time has passed to ask the server again" : failure.message,
    );
    switch (failure.kind) {
      case "lost":
      case "token":
        this.connection.lose(session, failure);
        return;
      case "busy": {
        const delay = this.#backoff.next(failure.retryAfter);
        await this.connection.pauses.wait(delay, this.abort.signal);
        return;
      }
      default:
        throw failure;
    }
  }

  #limit(milliseconds: number, message: string): void {
    this.end();
    this.#timer = setTimeout(() => this.abort.abort(new Failure("lost", message)), milliseconds);
  }
}

/**
 * Makes a request of what the user gave.
 *
 * @throws PublishError if something of it cannot be published.
 */
export function requestOf(
  name: string,
  isPattern: boolean,
  data: Data,
  options: PublishOptions,
): PublishRequest {
  const problem = nameProblem(name, isPattern);
  if (problem !== undefined) {
    throw new PublishError("invalid", problem);
  }
  const { key = randomKey() } = options;
  if (!/^[\x21-\x7e]{1,64}$/.test(key)) {
    const message = `${JSON.stringify(key)} is not a key: write 1 to 64 visible ASCII characters`;
    throw new PublishError("invalid", message);
  }
  return { name, isPattern, kind: options.kind, key, data: contentOf(data) };
}

function randomKey(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function contentOf(data: Data): string | Uint8Array<ArrayBuffer> {
  if (typeof data === "string") {
    return data;
  }
  if (data instanceof ArrayBuffer) {
    return new Uint8Array(data);
  }
  if (ArrayBuffer.isView(data)) {
    // `object` includes views of shared memory, which fetch refuses by itself.
    return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
  }
  let text: string | undefined;
  try {
    text = JSON.stringify(data);
  } catch (cause) {
    const message = `the data cannot be written as JSON: ${messageOf(cause)}`;
    throw new PublishError("invalid", message, { cause });
  }
  if (text === undefined) {
    throw new PublishError("invalid", "the data cannot be written as JSON");
  }
  return text;
}
