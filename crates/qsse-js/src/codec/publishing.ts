import type { Frame } from "./frames.js";
import { type Reader, violation } from "./reader.js";
import { utf8, Writer } from "./writer.js";

/** Whose keys those of a publishing stream are (QP-8.11). */
export type KeyScope =
  | { readonly type: "named"; readonly id: Uint8Array; readonly name: string }
  | { readonly type: "own"; readonly id: Uint8Array };

/** Encodes the beginning of a publishing stream. */
export function encodeOpenPublisher(ordered: boolean, scope: KeyScope): Uint8Array {
  const writer = new Writer(0x30).u8(ordered ? 1 : 0);
  writer.v(scope.type === "named" ? 0 : 1).raw(scope.id);
  return (scope.type === "named" ? writer.text(scope.name) : writer).finish();
}

/** An event to be published, as it is sent. */
export interface WirePublish {
  readonly name: string;
  readonly isPattern: boolean;
  /** `message` if it is empty. */
  readonly kind: string;
  readonly key: Uint8Array | undefined;
  /** The epoch of the first attempt, and the milliseconds since. */
  readonly retry: { readonly epoch: bigint; readonly milliseconds: number } | undefined;
  readonly data: Uint8Array;
}

/** Encodes an event to be published. */
export function encodePublish(publish: WirePublish): Uint8Array {
  const { isPattern, key, retry } = publish;
  const flags = (isPattern ? 1 : 0) | (key === undefined ? 0 : 2) | (retry === undefined ? 0 : 4);
  const kind = publish.kind === "message" ? "" : publish.kind;
  const writer = new Writer(0x31).u8(flags).short(utf8(publish.name)).short(utf8(kind));
  if (key !== undefined) {
    writer.short(key);
  }
  if (retry !== undefined) {
    writer.v(retry.epoch).v(retry.milliseconds);
  }
  return writer.finish(publish.data);
}

/** An answer to publishes. */
export type AckFrame =
  | {
      readonly type: "acknowledged";
      readonly through: bigint;
      readonly first: bigint;
      readonly last: bigint;
    }
  | {
      readonly type: "publish-refused";
      readonly number: bigint;
      readonly code: number;
      readonly message: string;
    }
  | { readonly type: "acknowledged-epoch"; readonly epoch: bigint };

/** Decodes an answer to publishes. */
export function decodeAnswer({ kind, body }: Frame): AckFrame {
  const frame = decodeBody(kind, body);
  body.finish();
  return frame;
}

function decodeBody(kind: number, body: Reader): AckFrame {
  switch (kind) {
    case 0x38:
      return { type: "acknowledged", through: body.u64(), first: body.u64(), last: body.u64() };
    case 0x39:
      return {
        type: "publish-refused",
        number: body.u64(),
        code: Number(body.u64()),
        message: body.text(),
      };
    case 0x3a:
      return { type: "acknowledged-epoch", epoch: body.u64() };
    default:
      throw violation(`a frame of kind ${kind} does not answer a publish`);
  }
}
