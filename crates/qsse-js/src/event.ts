const ENCODER = new TextEncoder();
const DECODER = new TextDecoder("utf-8", { ignoreBOM: true });

/** An event that was published. */
export class Event {
  /** Tells an event from a {@link Gap} and a {@link Reset}. */
  readonly type = "event";
  readonly #time: string | bigint;
  readonly #content: string | Uint8Array;

  /** Made by a subscription. `time` is RFC 3339 or microseconds; `content` is text or bytes. */
  constructor(
    /** Its id, such as `G8-42`: the position after which a subscription can go on. */
    readonly id: string,
    /** The topic that it was published on. */
    readonly topic: string,
    /** What sort of event it is: `message` unless the publisher said otherwise. */
    readonly kind: string,
    time: string | bigint,
    content: string | Uint8Array,
  ) {
    this.#time = time;
    this.#content = content;
  }

  /** When the server accepted it, in whole milliseconds. */
  get time(): Date {
    const time = this.#time;
    return typeof time === "string" ? new Date(time) : new Date(Number(time / 1000n));
  }

  /** Its data. Each call may make a new array. */
  get data(): Uint8Array {
    return typeof this.#content === "string" ? ENCODER.encode(this.#content) : this.#content;
  }

  /** Returns its data as text. Bytes that are not UTF-8 become replacement characters. */
  text(): string {
    return typeof this.#content === "string" ? this.#content : DECODER.decode(this.#content);
  }

  /**
   * Returns its data as JSON. The type is what the caller expects; nothing checks it.
   *
   * @throws SyntaxError if it is not JSON.
   */
  json<T = unknown>(): T {
    return JSON.parse(this.text()) as T;
  }
}
