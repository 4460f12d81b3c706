import type { EventDecoder, WireItem } from "../codec/events.js";
import { Event } from "../event.js";
import { Gap, Reset } from "../notice.js";
import { idText } from "../position.js";
import type { EventStream, StreamItem } from "../session.js";

/** Why events are missing, in the words of the server's text (section 7 of the protocol). */
const REASONS = [
  "the server no longer keeps them",
  "the subscription fell further behind than the server keeps them",
  "the subscription fell behind and skipped them, as asked",
  "the subscription fell behind and gets the latest of each topic, as asked",
  "they were damaged in storage",
];

/** A stream of a session: what was read of it is in the decoder. */
export interface Source {
  readonly decoder: EventDecoder;
  readonly reader: ReadableStreamDefaultReader<Uint8Array>;
}

/**
 * The events of a subscription's stream. One chunk is in memory at a time: what the reader of the
 * events does not take stays in the stream's window, and then in the server's log.
 */
export class WebTransportStream implements EventStream {
  readonly #source: Source;
  readonly #after: string | undefined;
  readonly #failed: (error: unknown) => Promise<Error>;
  readonly #ended: () => void;
  readonly #first: WireItem[];

  /**
   * Reads on after the header. `failed` tells why reading has failed or ended; `ended` is called
   * when nothing more is read.
   */
  constructor(
    source: Source,
    header: WireItem,
    after: string | undefined,
    failed: (error: unknown) => Promise<Error>,
    ended: () => void,
  ) {
    this.#source = source;
    this.#first = [header];
    this.#after = after;
    this.#failed = failed;
    this.#ended = ended;
  }

  take(): StreamItem | undefined {
    for (;;) {
      const item = this.#first.pop() ?? this.#source.decoder.next();
      if (item?.type !== "epoch") {
        return item && this.#shown(item);
      }
    }
  }

  async fill(): Promise<boolean> {
    try {
      const { done, value } = await this.#source.reader.read();
      if (value !== undefined) {
        this.#source.decoder.push(value);
        return true;
      }
      if (!done) {
        return true;
      }
    } catch (error) {
      throw await this.#failed(error);
    }
    throw await this.#failed(undefined);
  }

  cancel(): void {
    this.#ended();
    this.#source.reader.cancel().catch(() => undefined);
  }

  #shown(item: Exclude<WireItem, { type: "epoch" }>): StreamItem {
    switch (item.type) {
      case "event": {
        const id = idText(item.epoch, item.seq);
        return new Event(id, item.topic, item.kind, item.time, item.data);
      }
      case "gap": {
        const reason = REASONS[Number(item.reason)] ?? "the server has lost them";
        const from = idText(item.epoch, item.after + 1n);
        return new Gap(from, idText(item.epoch, item.to), Number(item.atMost), reason);
      }
      default: {
        const id = idText(item.epoch, item.position);
        const isReset = item.type === "header" && item.outcome === "reset";
        return isReset ? new Reset(this.#after ?? null, id) : { type: "moved", id };
      }
    }
  }
}
