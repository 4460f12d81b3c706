const ENCODER = new TextEncoder();

/** Writes a frame (QP-3.1). */
export class Writer {
  readonly #bytes: number[] = [0, 0, 0, 0];

  /** Begins a frame of this kind. */
  constructor(kind: number) {
    this.u8(kind);
  }

  /** Writes a byte. */
  u8(byte: number): this {
    this.#bytes.push(byte);
    return this;
  }

  /** Writes a number, in as few bytes as possible (QP-2.2). */
  v(value: number | bigint): this {
    let rest = BigInt(value);
    for (; rest >= 0x80n; rest >>= 7n) {
      this.u8(Number(rest & 0x7fn) | 0x80);
    }
    return this.u8(Number(rest));
  }

  /** Writes bytes without their length. */
  raw(bytes: Uint8Array): this {
    for (const byte of bytes) {
      this.u8(byte);
    }
    return this;
  }

  /** Writes bytes with their length. */
  bytes(bytes: Uint8Array): this {
    return this.v(bytes.length).raw(bytes);
  }

  /** Writes bytes with their length as one byte. */
  short(bytes: Uint8Array): this {
    return this.u8(bytes.length).raw(bytes);
  }

  /** Writes a text. */
  text(text: string): this {
    return this.bytes(ENCODER.encode(text));
  }

  /** Writes what may be absent. */
  optional<T>(value: T | undefined, write: (value: T) => void): this {
    this.u8(value === undefined ? 0 : 1);
    if (value !== undefined) {
      write(value);
    }
    return this;
  }

  /** Returns the frame, with `data` at its end. */
  finish(data: Uint8Array = new Uint8Array()): Uint8Array {
    const frame = new Uint8Array(this.#bytes.length + data.length);
    frame.set(this.#bytes);
    frame.set(data, this.#bytes.length);
    new DataView(frame.buffer).setUint32(0, frame.length - 4, true);
    return frame;
  }
}

/** Returns the bytes of a text. */
export function utf8(text: string): Uint8Array {
  return ENCODER.encode(text);
}
