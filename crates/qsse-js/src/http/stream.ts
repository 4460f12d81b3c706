import { Failure } from "../failure.js";
import type { EventStream, StreamItem } from "../session.js";
import { readBlock } from "./blocks.js";
import { SseParser } from "./parser.js";

/**
 * The events of a response. One chunk of the body is in memory at a time: what the reader of the
 * events does not take stays in the network, and then in the server's log.
 */
export class HttpStream implements EventStream {
  readonly #parser = new SseParser();
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #silence: number;
  readonly #cancel: (reason: unknown) => void;
  #ended: Failure | undefined;

  /**
   * Reads a body. `silence` is how long the server may send nothing, in milliseconds; `cancel` ends
   * the request.
   */
  constructor(
    body: ReadableStream<Uint8Array>,
    silence: number,
    cancel: (reason: unknown) => void,
  ) {
    this.#reader = body.getReader();
    this.#silence = silence;
    this.#cancel = cancel;
  }

  take(): StreamItem | undefined {
    const block = this.#parser.next();
    return block === undefined ? undefined : readBlock(block, this.#parser.retry);
  }

  async fill(): Promise<boolean> {
    const silent = (): void => {
      this.#ended = new Failure("lost", `the server sent nothing for ${this.#silence} ms`);
      this.#cancel(this.#ended);
    };
    const timer = this.#silence > 0 ? setTimeout(silent, this.#silence) : undefined;
    try {
      const { done, value } = await this.#reader.read();
      if (value !== undefined) {
        this.#parser.push(value);
      }
      return !done;
    } catch (error) {
      // Not every browser rejects with the reason of an abort.
      throw this.#ended ?? error;
    } finally {
      clearTimeout(timer);
    }
  }

  cancel(): void {
    this.#cancel(new Failure("final", "the subscription has ended"));
    // A body that has failed already cannot be cancelled, and need not be.
    this.#reader.cancel().catch(() => undefined);
  }
}
