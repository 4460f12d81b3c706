import { follow } from "../abort.js";
import { Code } from "../code.js";
import {
  decodeControl,
  encodeHello,
  encodeRefreshToken,
  encodeSubscribe,
  encodeUnsubscribe,
  type ServerFrame,
  type Welcome,
} from "../codec/control.js";
import { EventDecoder, type WireItem } from "../codec/events.js";
import { FrameDecoder } from "../codec/frames.js";
import { violation } from "../codec/reader.js";
import { Failure } from "../failure.js";
import type { HttpSession } from "../http/session.js";
import type { EventStream, Published, PublishRequest } from "../session.js";
import type { Session, SubscribeRequest } from "../session.js";
import { sessionFailure, streamFailure } from "./failure.js";
import { wireStart } from "./start.js";
import { type Source, WebTransportStream } from "./stream.js";

/** The name and version of this library, for the server's log. */
const AGENT = "qsse-js/0.1.0";

/** A stream of the server whose header has arrived. */
interface Arrived {
  readonly source: Source;
  readonly header: WireItem;
}

/** A subscription that was asked for. */
interface Asked {
  confirmed: boolean;
  stream: Arrived | undefined;
  /** Is called when something changes; a failure ends it. */
  readonly settle: (failure?: Failure) => void;
}

/**
 * A session of `qsse/1` over WebTransport: a control stream, and a stream of the server for each
 * subscription. Publishes go over HTTP all the same: their keys count there, whatever else changes.
 */
export class WebTransportSession implements Session {
  readonly transport = "web-transport";
  readonly lost: Promise<Failure>;
  readonly #transport: WebTransport;
  readonly #http: HttpSession;
  readonly #asked = new Map<number, Asked>();
  readonly #streams = new Set<EventStream>();
  #control!: WritableStreamDefaultWriter<Uint8Array>;
  #welcome: Welcome | undefined;
  #welcomed: (() => void) | undefined;
  #refreshed: { resolve: () => void; reject: (failure: Failure) => void } | undefined;
  #goodbye: Failure | undefined;
  #isLeaving = false;
  #lastId = 0;
  #lose!: (failure: Failure) => void;

  private constructor(transport: WebTransport, http: HttpSession) {
    this.#transport = transport;
    this.#http = http;
    this.lost = new Promise((resolve) => {
      this.#lose = resolve;
    });
    transport.closed.then(
      ({ closeCode = 0, reason = "" }) => this.#lose(sessionFailure(closeCode, reason)),
      (error: unknown) => this.#lose(Failure.of(error)),
    );
    void http.lost.then((error) => this.#lose(Failure.of(error)));
    void this.lost.then((failure) => this.#end(failure));
  }

  /**
   * Opens a session. Resolves once the server has admitted the client.
   *
   * @throws Failure if it does not.
   */
  static async open(
    url: string,
    options: WebTransportOptions,
    http: HttpSession,
    signal: AbortSignal,
  ): Promise<WebTransportSession> {
    const transport = new WebTransport(url, options);
    const session = new WebTransportSession(transport, http);
    const abort = new AbortController();
    abort.signal.addEventListener("abort", () => session.close());
    const unfollow = follow(abort, signal);
    try {
      await Promise.race([session.#greet(), session.lost.then((failure) => Promise.reject(failure))]);
      signal.throwIfAborted();
      return session;
    } catch (error) {
      session.close();
      throw error;
    } finally {
      unfollow();
    }
  }

  async subscribe(request: SubscribeRequest, signal: AbortSignal): Promise<EventStream> {
    const start = wireStart(request, Date.now());
    this.#lastId += 1;
    const id = this.#lastId;
    const abort = new AbortController();
    const unfollow = follow(abort, signal);
    try {
      const arrived = await new Promise<Arrived>((resolve, reject) => {
        const settle = (failure?: Failure): void => {
          if (failure !== undefined) {
            reject(failure);
          } else if (asked.confirmed && asked.stream !== undefined) {
            resolve(asked.stream);
          }
        };
        const asked: Asked = { confirmed: false, stream: undefined, settle };
        this.#asked.set(id, asked);
        abort.signal.addEventListener("abort", () => reject(signal.reason as Error));
        void this.lost.then(settle);
        this.#send(encodeSubscribe(id, request.patterns, start, request.onLag));
      });
      return this.#stream(id, arrived, request.after);
    } catch (error) {
      this.#forget(id);
      throw error;
    } finally {
      unfollow();
    }
  }

  publish(request: PublishRequest, signal: AbortSignal): Promise<Published> {
    return this.#http.publish(request, signal);
  }

  async refresh(token: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#refreshed = { resolve, reject };
      void this.lost.then(reject);
      this.#send(encodeRefreshToken(token));
    });
    await this.#http.refresh(token);
  }

  check(): void {
    this.#http.check();
  }

  close(isGentle = false): void {
    this.#isLeaving = true;
    if (!isGentle || this.#streams.size === 0) {
      try {
        this.#transport.close({ closeCode: Code.NO_ERROR, reason: "" });
      } catch {
        // It has failed already.
      }
    }
  }

  async #greet(): Promise<void> {
    await this.#transport.ready;
    const { readable, writable } = await this.#transport.createBidirectionalStream();
    this.#control = writable.getWriter() as WritableStreamDefaultWriter<Uint8Array>;
    const welcomed = new Promise<void>((resolve) => {
      this.#welcomed = resolve;
    });
    this.#send(encodeHello(AGENT, this.#http.token));
    const failed = (error: unknown): void => this.#violated(error);
    this.#readControl(readable as ReadableStream<Uint8Array>).catch(failed);
    await welcomed;
    this.#accept().catch(failed);
  }

  #send(frame: Uint8Array): void {
    // When it fails, the session is over, and says why.
    this.#control.write(frame).catch(() => undefined);
  }

  async #readControl(readable: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new FrameDecoder();
    const reader = readable.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return;
      }
      decoder.push(value);
      for (let frame = decoder.next(); frame !== undefined; frame = decoder.next()) {
        this.#take(decodeControl(frame));
      }
    }
  }

  #take(frame: ServerFrame): void {
    if ((frame.type === "welcome") !== (this.#welcome === undefined)) {
      throw violation("Welcome is the first frame, and is sent once");
    }
    switch (frame.type) {
      case "welcome":
        this.#welcome = frame;
        this.#welcomed?.();
        break;
      case "subscribed": {
        const asked = this.#asked.get(frame.id);
        if (asked !== undefined) {
          asked.confirmed = true;
          asked.settle();
        }
        break;
      }
      case "refused":
        this.#asked.get(frame.id)?.settle(streamFailure(frame.code, frame.message));
        break;
      case "goodbye": {
        const { code, message, retryAfterMs } = frame;
        const words = message === "" ? "the server says goodbye" : message;
        this.#goodbye = new Failure("lost", words, { code, retryAfter: retryAfterMs });
        if (this.#streams.size === 0) {
          this.#lose(this.#goodbye);
        }
        break;
      }
      case "token-accepted":
        this.#refreshed?.resolve();
        break;
    }
  }

  /** Takes the streams of the server, each with its header. */
  async #accept(): Promise<void> {
    const streams = this.#transport.incomingUnidirectionalStreams as ReadableStream<
      ReadableStream<Uint8Array>
    >;
    const reader = streams.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) {
        return;
      }
      void this.#receive(value).catch((error: unknown) => this.#violated(error));
    }
  }

  async #receive(stream: ReadableStream<Uint8Array>): Promise<void> {
    const limit = this.#welcome?.maxEventBytes ?? 0;
    const source: Source = { decoder: new EventDecoder(limit), reader: stream.getReader() };
    let header = source.decoder.next();
    while (header === undefined) {
      const { done, value } = await source.reader.read();
      if (done) {
        return;
      }
      source.decoder.push(value);
      header = source.decoder.next();
    }
    const asked = header.type === "header" ? this.#asked.get(header.id) : undefined;
    if (asked === undefined) {
      await source.reader.cancel();
      return;
    }
    asked.stream = { source, header };
    asked.settle();
  }

  #stream(id: number, { source, header }: Arrived, after: string | undefined): EventStream {
    const failed = (error: unknown): Promise<Failure> => this.#failureOf(error);
    const ended = (): void => {
      this.#streams.delete(stream);
      this.#forget(id);
      if (this.#isLeaving) {
        this.close(true);
      }
    };
    const stream = new WebTransportStream(source, header, after, failed, ended);
    this.#streams.add(stream);
    return stream;
  }

  /** Tells why a stream has failed, or has ended. */
  async #failureOf(error: unknown): Promise<Failure> {
    const code = (error as { streamErrorCode?: number | null } | undefined)?.streamErrorCode;
    if (typeof code === "number") {
      return streamFailure(code, "");
    }
    return error === undefined
      ? (this.#goodbye ?? new Failure("lost", "the server ended the stream"))
      : this.lost;
  }

  #forget(id: number): void {
    if (this.#asked.delete(id)) {
      this.#send(encodeUnsubscribe(id));
    }
  }

  /** Ends what waits for the session. */
  #end(failure: Failure): void {
    this.#refreshed?.reject(failure);
  }

  #violated(error: unknown): void {
    // An error of the transport is reported by `closed`.
    if (error instanceof Failure) {
      this.#lose(error);
      this.#transport.close({ closeCode: error.code ?? Code.UNKNOWN, reason: error.message });
    }
  }
}
