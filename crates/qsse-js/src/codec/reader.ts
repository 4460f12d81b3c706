import { Code } from "../code.js";
import { Failure } from "../failure.js";

const U32 = 0xffff_ffffn;
const U64 = (1n << 64n) - 1n;
const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Thrown when a frame goes on in bytes that have not arrived yet. */
export const SHORT = new Error("more bytes are needed");

/** Makes the failure for what the protocol forbids. */
export function violation(what: string, code: number = Code.PROTOCOL_VIOLATION): Failure {
  return new Failure("protocol", `the server violated the protocol: ${what}`, { code });
}

/** Adds two numbers of the protocol (QP-6.3). */
export function sum(one: bigint, other: bigint): bigint {
  const total = one + other;
  if (total > U64) {
    throw violation("a number does not fit");
  }
  return total;
}

/** Reads the fields of a body (QP-2.1 to QP-2.4), of which a part may not have arrived yet. */
export class Reader {
  /**
   * Reads `bytes` from `position` on. The body ends at `end`, which may be beyond the bytes that are
   * there.
   */
  constructor(
    readonly bytes: Uint8Array,
    public position: number,
    readonly end: number,
  ) {}

  /** Whether the whole body was read. */
  get isDone(): boolean {
    return this.position === this.end;
  }

  /** Reads a byte. */
  u8(): number {
    if (this.position >= this.end) {
      throw violation("a body ends too early");
    }
    const byte = this.bytes[this.position];
    if (byte === undefined) {
      throw SHORT;
    }
    this.position += 1;
    return byte;
  }

  /** Reads a number of up to 64 bits. */
  u64(): bigint {
    let byte = this.u8();
    if (byte < 0x80) {
      return BigInt(byte);
    }
    let value = BigInt(byte & 0x7f);
    for (let shift = 7n; byte >= 0x80; shift += 7n) {
      byte = this.u8();
      value |= BigInt(byte & 0x7f) << shift;
      if (value > U64 || shift > 63n) {
        throw violation("a number does not fit");
      }
    }
    return value;
  }

  /** Reads a number of up to 32 bits. */
  u32(): number {
    const value = this.u64();
    if (value > U32) {
      throw violation("a number does not fit into 32 bits");
    }
    return Number(value);
  }

  /** Reads so many bytes. They are copied. */
  take(count: number): Uint8Array {
    if (count > this.end - this.position) {
      throw violation("a length is beyond the end of its frame");
    }
    if (count > this.bytes.length - this.position) {
      throw SHORT;
    }
    this.position += count;
    return this.bytes.slice(this.position - count, this.position);
  }

  /** Reads text of so many bytes. */
  utf8(count: number): string {
    try {
      return UTF8.decode(this.take(count));
    } catch (error) {
      throw error instanceof TypeError ? violation("a text is not UTF-8") : error;
    }
  }

  /** Reads a text. */
  text(): string {
    return this.utf8(this.u32());
  }

  /** Reads what may be absent. */
  optional<T>(read: () => T): T | undefined {
    const isThere = this.u8();
    if (isThere > 1) {
      throw violation("a presence byte is neither 0 nor 1");
    }
    return isThere === 1 ? read() : undefined;
  }

  /** Checks that nothing is left of the body. */
  finish(): void {
    if (!this.isDone) {
      throw violation("a body has too many bytes");
    }
  }
}
