import { codeName } from "./code.js";

/**
 * What a failure means for who asked:
 *
 * - `lost`: the connection is gone. Connect again, and ask again.
 * - `token`: the token has ended. Get another one, connect again, and ask again.
 * - `busy`: the connection is good. Ask again later.
 * - `final`: asking again does not help.
 * - `protocol`: the server sent what cannot be read.
 */
export type FailureKind = "lost" | "token" | "busy" | "final" | "protocol";

/** Why a request failed or a stream ended. Users get an error that is made from it. */
export class Failure extends Error {
  override readonly name = "Failure";
  /** The server's reason as a number. */
  readonly code: number | undefined;
  /** The HTTP status. */
  readonly status: number | undefined;
  /** How long to wait before the next attempt, in milliseconds, as the server asks. */
  readonly retryAfter: number | undefined;
  /** Whether the server may have done what it was asked to do. */
  readonly ambiguous: boolean;

  constructor(
    readonly kind: FailureKind,
    message: string,
    details: {
      code?: number | undefined;
      status?: number | undefined;
      retryAfter?: number | undefined;
      ambiguous?: boolean;
      cause?: unknown;
    } = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.code = details.code;
    this.status = details.status;
    this.retryAfter = details.retryAfter;
    this.ambiguous = details.ambiguous ?? false;
  }

  /** Makes a failure of whatever was thrown: what is not known to be otherwise is a lost connection. */
  static of(error: unknown): Failure {
    if (error instanceof Failure) {
      return error;
    }
    const message = error instanceof Error ? error.message : String(error);
    return new Failure("lost", `the connection was lost: ${message}`, {
      ambiguous: true,
      cause: error,
    });
  }
}

/** Describes a refusal: the server's words, or the name of its code. */
export function refusal(code: number, message: string): string {
  return message === "" ? codeName(code) : message;
}
