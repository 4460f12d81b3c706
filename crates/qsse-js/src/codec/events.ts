import { Code } from "../code.js";
import { nameProblem } from "../names.js";
import { Input, isExtension } from "./frames.js";
import { Reader, SHORT, sum, violation } from "./reader.js";

/** How the server met the requested start (QP-7.6). */
export type Outcome = "live" | "resumed" | "gap" | "reset";

/** What a subscription's stream has. */
export type WireItem =
  | {
      readonly type: "header";
      readonly id: number;
      readonly epoch: bigint;
      readonly position: bigint;
      readonly outcome: Outcome;
    }
  | {
      readonly type: "event";
      readonly epoch: bigint;
      readonly seq: bigint;
      readonly topic: string;
      readonly kind: string;
      /** Microseconds since 1970. */
      readonly time: bigint;
      readonly data: Uint8Array;
    }
  | {
      readonly type: "gap";
      readonly epoch: bigint;
      readonly after: bigint;
      readonly to: bigint;
      readonly atMost: bigint;
      readonly reason: bigint;
    }
  | { readonly type: "heartbeat"; readonly epoch: bigint; readonly position: bigint }
  | { readonly type: "epoch"; readonly epoch: bigint };

const HEADER = 0x20;
const BATCH = 0x21;
const GAP = 0x22;
const HEARTBEAT = 0x23;
const EPOCH = 0x24;

/** The limit of the frames without events (QP-11.1). */
const SMALL = 256;
/** The limit of a batch of several events, with its length field (QP-6.6). */
const BATCH_BYTES = 64 << 10;

const OUTCOMES: readonly Outcome[] = ["live", "resumed", "gap", "reset"];

/** The batch that is being read. */
interface Batch {
  /** How many bytes of its body are unread. */
  left: number;
  /** Whether it is longer than a batch of several events may be. */
  readonly isLong: boolean;
  seq: bigint;
  time: bigint;
  count: number;
  readonly topics: string[];
  readonly kinds: string[];
}

/**
 * Decodes a subscription's stream from chunks of any size (sections 6 and 7 of the protocol). An
 * event comes out as soon as its last byte has arrived, whatever follows it in its batch.
 */
export class EventDecoder {
  readonly #input = new Input();
  readonly #maxEventBytes: number;
  #batch: Batch | undefined;
  /** The bytes of an extension that are still to be skipped. */
  #skip = 0;
  #isStarted = false;
  #epoch = 0n;
  #position = 0n;

  /** Reads a stream whose events have at most so many bytes of data. */
  constructor(maxEventBytes: number) {
    this.#maxEventBytes = maxEventBytes;
  }

  /** Adds the next bytes. */
  push(chunk: Uint8Array): void {
    this.#input.push(chunk);
  }

  /** Whether the stream could end here: not within a frame. */
  get isBetweenFrames(): boolean {
    return this.#batch === undefined && this.#skip === 0 && this.#input.length === 0;
  }

  /** Returns the next item, or `undefined` until more bytes are pushed. */
  next(): WireItem | undefined {
    try {
      for (;;) {
        const item = this.#step();
        if (item !== undefined) {
          return item;
        }
      }
    } catch (error) {
      if (error === SHORT) {
        return undefined;
      }
      throw error;
    }
  }

  /** Reads an item, or what is none. */
  #step(): WireItem | undefined {
    if (this.#batch !== undefined) {
      return this.#event(this.#batch);
    }
    if (this.#skip > 0) {
      return this.#skipSome();
    }
    return this.#frame();
  }

  #skipSome(): undefined {
    const input = this.#input;
    const count = Math.min(this.#skip, input.length);
    this.#skip -= count;
    input.position += count;
    if (this.#skip > 0) {
      throw SHORT;
    }
  }

  #frame(): WireItem | undefined {
    const input = this.#input;
    const length = input.frameLength(this.#maxEventBytes + BATCH_BYTES);
    if (length === undefined || input.length < 5) {
      throw SHORT;
    }
    const begin = input.position + 4;
    const kind = input.bytes[begin] as number;
    const body = new Reader(input.bytes, begin + 1, begin + length);
    if (isExtension(kind)) {
      input.position = begin + 1;
      this.#skip = length - 1;
      return undefined;
    }
    if (kind === BATCH && this.#isStarted) {
      this.#begin(body, length);
      return undefined;
    }
    if (kind < HEADER || kind > EPOCH) {
      throw violation(`a frame of kind ${kind} is not of a subscription`);
    }
    if (length > SMALL) {
      throw violation(`a frame of kind ${kind} is too long`, Code.FRAME_TOO_LARGE);
    }
    if ((kind === HEADER) === this.#isStarted) {
      throw violation("a stream begins with its header, and has no other");
    }
    if (input.length < 4 + length) {
      throw SHORT;
    }
    const item = this.#small(kind, body);
    body.finish();
    input.position = body.position;
    return item;
  }

  #small(kind: number, body: Reader): WireItem {
    switch (kind) {
      case HEADER: {
        const [id, epoch, position] = [body.u32(), body.u64(), body.u64()];
        const outcome = OUTCOMES[Number(body.u64())];
        if (outcome === undefined) {
          throw violation("an outcome that is not listed");
        }
        this.#isStarted = true;
        [this.#epoch, this.#position] = [epoch, position];
        return { type: "header", id, epoch, position, outcome };
      }
      case GAP: {
        const [after, to, atMost, reason] = [body.u64(), body.u64(), body.u64(), body.u64()];
        // QP-7.1
        if (to <= after || atMost < 1n || atMost > to - after) {
          throw violation("a gap that cannot be");
        }
        return { type: "gap", epoch: this.#epoch, after, to, atMost, reason };
      }
      case HEARTBEAT: {
        const position = body.u64();
        // QP-7.5
        if (position < this.#position) {
          throw violation("a heartbeat goes back");
        }
        this.#position = position;
        return { type: "heartbeat", epoch: this.#epoch, position };
      }
      default:
        this.#epoch = body.u64();
        return { type: "epoch", epoch: this.#epoch };
    }
  }

  #begin(body: Reader, length: number): void {
    const [seq, time] = [body.u64(), body.u64()];
    if (body.isDone) {
      throw violation("a batch is empty");
    }
    this.#input.position = body.position;
    const left = body.end - body.position;
    const isLong = length + 4 > BATCH_BYTES;
    this.#batch = { left, isLong, seq, time, count: 0, topics: [], kinds: [] };
  }

  #event(batch: Batch): WireItem {
    const input = this.#input;
    if (batch.isLong && batch.count > 0) {
      throw violation("a batch of several events is too long", Code.FRAME_TOO_LARGE);
    }
    const body = new Reader(input.bytes, input.position, input.position + batch.left);
    const [seqStep, timeStep] = [body.u64(), body.u64()];
    const isFirst = batch.count === 0;
    if (isFirst ? seqStep !== 0n || timeStep !== 0n : seqStep === 0n) {
      throw violation("a step that cannot be");
    }
    const seq = sum(batch.seq, seqStep);
    const time = sum(batch.time, timeStep);
    if (seq <= this.#position) {
      throw violation("an event is not above the position");
    }
    const topic = this.#topic(body, batch);
    const kind = this.#kind(body, batch);
    const size = body.u64();
    if (size > BigInt(this.#maxEventBytes)) {
      throw violation(`an event has ${size} bytes`, Code.EVENT_TOO_LARGE);
    }
    const data = body.take(Number(size));
    // Everything has arrived: only now does anything change.
    [batch.seq, batch.time, batch.left] = [seq, time, body.end - body.position];
    batch.count += 1;
    topic.isNew && batch.topics.push(topic.name);
    kind.isNew && batch.kinds.push(kind.name);
    input.position = body.position;
    this.#position = seq;
    if (batch.left === 0) {
      this.#batch = undefined;
    }
    return {
      type: "event",
      epoch: this.#epoch,
      seq,
      topic: topic.name,
      kind: kind.name,
      time,
      data,
    };
  }

  #topic(body: Reader, batch: Batch): { readonly name: string; readonly isNew: boolean } {
    const number = body.u64();
    if (number === 0n) {
      const name = body.utf8(body.u8());
      const problem = nameProblem(name, false);
      if (problem !== undefined) {
        throw violation(problem);
      }
      return { name, isNew: true };
    }
    return { name: known(batch.topics, number - 1n), isNew: false };
  }

  #kind(body: Reader, batch: Batch): { readonly name: string; readonly isNew: boolean } {
    const number = body.u64();
    if (number === 0n) {
      return { name: "message", isNew: false };
    }
    if (number === 1n) {
      const length = body.u8();
      const name = body.utf8(length);
      // QP-2.9
      if (length < 1 || length > 64 || /[\u0000-\u001f\u007f-\u009f]/.test(name)) {
        throw violation("a kind that cannot be");
      }
      return { name, isNew: true };
    }
    return { name: known(batch.kinds, number - 2n), isNew: false };
  }
}

function known(names: readonly string[], index: bigint): string {
  const name = names[Number(index)];
  if (name === undefined) {
    throw violation("a number that was not given out");
  }
  return name;
}
