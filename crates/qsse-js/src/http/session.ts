import { AbortGroup, follow } from "../abort.js";
import { Failure } from "../failure.js";
import type {
  EventStream,
  Published,
  PublishRequest,
  Session,
  SubscribeRequest,
} from "../session.js";
import { failureOf } from "./problem.js";
import { HttpStream } from "./stream.js";

/** What a session over HTTP needs. */
export interface HttpOptions {
  /** The URL under which the routes are, without a slash at the end. */
  readonly base: string;
  readonly token: string | undefined;
  readonly fetch: typeof fetch;
  readonly credentials: RequestCredentials;
  /** How long a stream may be silent, in milliseconds; 0 for any time. */
  readonly silence: number;
  /** How long the server may take to answer a check, in milliseconds. */
  readonly timeout: number;
}

/**
 * A session of requests. Browsers send all of them over one connection with HTTP/2 and HTTP/3.
 * There is no connection to watch: a request that fails tells that it is lost.
 */
export class HttpSession implements Session {
  readonly transport = "fetch";
  readonly lost: Promise<Error>;
  readonly #options: HttpOptions;
  #token: string | undefined;
  readonly #requests = new AbortGroup();
  #lose!: (error: Error) => void;
  #checking = false;

  /** Makes a session. {@link probe} tells whether the server is there and admits the client. */
  constructor(options: HttpOptions) {
    this.#options = options;
    this.#token = options.token;
    this.lost = new Promise((resolve) => {
      this.#lose = resolve;
    });
  }

  /** The token that requests have. */
  get token(): string | undefined {
    return this.#token;
  }

  /**
   * Asks the server for its first topic: whoever may do that was admitted.
   *
   * @throws Failure if it does not answer, or does not admit the client.
   */
  async probe(signal: AbortSignal): Promise<void> {
    const response = await this.#request("/topics?limit=1", { signal });
    await response.body?.cancel();
  }

  async subscribe(request: SubscribeRequest, signal: AbortSignal): Promise<EventStream> {
    const query = new URLSearchParams({ format: "json", on_lag: request.onLag });
    for (const pattern of request.patterns) {
      query.append("topic", pattern);
    }
    const { start } = request;
    query.set("start", start instanceof Date ? start.toISOString() : start);
    if (request.after !== undefined) {
      query.set("last_event_id", request.after);
    }
    const abort = new AbortController();
    const done = this.#join(abort, signal);
    const cancel = (reason: unknown): void => {
      done();
      abort.abort(reason);
    };
    try {
      const response = await this.#request(`/events?${query}`, { signal: abort.signal });
      if (response.body === null) {
        throw new Failure("protocol", "the server answered without a body");
      }
      return new HttpStream(response.body, this.#options.silence, cancel);
    } catch (error) {
      done();
      throw error;
    }
  }

  async publish(request: PublishRequest, signal: AbortSignal): Promise<Published> {
    const kind = request.kind === undefined ? "" : `?${new URLSearchParams({ kind: request.kind })}`;
    const route = request.isPattern ? "publish-matching" : "publish";
    const abort = new AbortController();
    const done = this.#join(abort, signal);
    try {
      const response = await this.#request(`/${route}/${encodeURIComponent(request.name)}${kind}`, {
        method: "POST",
        // In quotes, so that quotes in the key are its own.
        headers: { "Idempotency-Key": `"${request.key}"` },
        body: request.data,
        signal: abort.signal,
      });
      const answer = (await response.json()) as { id: string } | Published;
      return "id" in answer ? { count: 1, first: answer.id, last: answer.id } : answer;
    } finally {
      done();
    }
  }

  async refresh(token: string): Promise<void> {
    this.#token = token;
    await this.probe(AbortSignal.timeout(this.#options.timeout));
  }

  check(): void {
    if (this.#checking) {
      return;
    }
    this.#checking = true;
    this.probe(AbortSignal.timeout(this.#options.timeout))
      .catch((error: unknown) => this.#lose(Failure.of(error)))
      .finally(() => {
        this.#checking = false;
      });
  }

  close(isGentle = false): void {
    if (isGentle) {
      return;
    }
    this.#requests.abort(new Failure("lost", "the connection was given up"));
  }

  /** Aborts a request when its user does, or the session is closed. */
  #join(request: AbortController, signal: AbortSignal): () => void {
    const leave = this.#requests.add(request);
    const unfollow = follow(request, signal);
    return () => {
      leave();
      unfollow();
    };
  }

  async #request(path: string, init: RequestInit): Promise<Response> {
    const { base, fetch, credentials } = this.#options;
    const headers = new Headers(init.headers);
    if (this.#token !== undefined) {
      headers.set("Authorization", `Bearer ${this.#token}`);
    }
    const response = await fetch(base + path, { ...init, headers, credentials, cache: "no-store" });
    if (!response.ok) {
      throw await failureOf(response);
    }
    return response;
  }
}
