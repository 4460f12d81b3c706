import { Code } from "../code.js";
import { Reader, violation } from "./reader.js";

/** A whole frame: its kind, and a reader of its body. */
export interface Frame {
  readonly kind: number;
  readonly body: Reader;
}

/** The limit of the frames on the control stream and of answers to publishes (QP-11.1). */
export const CONTROL_FRAME = 16 << 10;

/** The bytes of a stream that have arrived and were not read yet. */
export class Input {
  /** The bytes. */
  bytes = new Uint8Array();
  /** Where the unread ones begin. */
  position = 0;

  /** How many bytes are unread. */
  get length(): number {
    return this.bytes.length - this.position;
  }

  /** Adds the next bytes. */
  push(chunk: Uint8Array): void {
    const rest = this.bytes.subarray(this.position);
    this.position = 0;
    if (rest.length === 0) {
      this.bytes = chunk as Uint8Array<ArrayBuffer>;
      return;
    }
    this.bytes = new Uint8Array(rest.length + chunk.length);
    this.bytes.set(rest);
    this.bytes.set(chunk, rest.length);
  }

  /** Reads the length of a frame, which counts its kind and body. `undefined` if it is not there. */
  frameLength(limit: number): number | undefined {
    if (this.length < 4) {
      return undefined;
    }
    const { buffer, byteOffset } = this.bytes;
    const length = new DataView(buffer, byteOffset + this.position).getUint32(0, true);
    if (length === 0) {
      throw violation("a frame has no kind");
    }
    if (length > limit) {
      throw violation(`a frame has ${length} bytes, of at most ${limit}`, Code.FRAME_TOO_LARGE);
    }
    return length;
  }
}

/** Returns whether frames of a kind are skipped by who does not know them (QP-3.5). */
export function isExtension(kind: number): boolean {
  return kind >= 0x80 && kind <= 0xbf;
}

/** Decodes the frames of a stream from chunks of any size, each when it is complete. */
export class FrameDecoder {
  readonly #input = new Input();

  /** Adds the next bytes. */
  push(chunk: Uint8Array): void {
    this.#input.push(chunk);
  }

  /** Returns the next frame that is not an extension, or `undefined` until more bytes are pushed. */
  next(): Frame | undefined {
    const input = this.#input;
    for (;;) {
      const length = input.frameLength(CONTROL_FRAME);
      if (length === undefined || input.length < 4 + length) {
        return undefined;
      }
      const begin = input.position + 4;
      const kind = input.bytes[begin] as number;
      input.position = begin + length;
      if (!isExtension(kind)) {
        return { kind, body: new Reader(input.bytes, begin + 1, begin + length) };
      }
    }
  }
}
