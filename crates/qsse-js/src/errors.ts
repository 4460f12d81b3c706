/** What is known about an error. */
export interface ErrorDetails {
  /** The server's reason as a number: see {@link Code}. */
  code?: number | undefined;
  /** The HTTP status, if the server answered with one. */
  status?: number | undefined;
  /** Whether the same call may succeed later, without publishing anything twice. */
  retryable?: boolean;
  /** What caused it. */
  cause?: unknown;
}

/** An error of this library. Its message says what is wrong and, where possible, what to do. */
export abstract class QsseError<R extends string = string> extends Error {
  /** What went wrong, for programs. */
  readonly reason: R;
  /** The server's reason as a number, if it gave one: see {@link Code}. */
  readonly code: number | undefined;
  /** The HTTP status, if the server answered with one. */
  readonly status: number | undefined;
  /** Whether the same call may succeed later, without publishing anything twice. */
  readonly isRetryable: boolean;

  constructor(reason: R, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.reason = reason;
    this.code = details.code;
    this.status = details.status;
    this.isRetryable = details.retryable ?? false;
  }
}

/**
 * Why a client could not connect, or why a lost connection could not be restored:
 *
 * - `invalid`: the URL or an option is wrong.
 * - `token`: the token function failed.
 * - `refused`: the server does not admit the client, for instance because of its token.
 * - `unreachable`: the server did not answer in time, or not as a qsse server does.
 */
export class ConnectError extends QsseError<"invalid" | "token" | "refused" | "unreachable"> {
  override readonly name = "ConnectError";
}

/**
 * Why a subscription was refused or has ended. Gaps and resets are no errors: the subscription goes
 * on after them.
 *
 * - `invalid`: a pattern or an option is wrong.
 * - `refused`: the server refused it, or no longer serves it.
 * - `lagged`: it fell behind, and was made with `onLag: "disconnect"`. Subscribe again, with
 *   `after` set to its cursor, to go on.
 * - `protocol`: the server sent what this library cannot read.
 * - `closed`: the client is closed.
 */
export class SubscriptionError extends QsseError<
  "invalid" | "refused" | "lagged" | "protocol" | "closed"
> {
  override readonly name = "SubscriptionError";
}

/**
 * Why an event was not published, or may not have been.
 *
 * - `invalid`: the topic, kind or key is wrong. Nothing was sent.
 * - `refused`: the server refused it. Nothing was published.
 * - `not-connected`: there was no connection for `publishWait`. Nothing was sent.
 * - `outcome-unknown`: the connection was lost before the answer, and asking again with the same key
 *   did not show whether it was published. It was not published twice.
 * - `closed`: the client is closed. Nothing was sent.
 */
export class PublishError extends QsseError<
  "invalid" | "refused" | "not-connected" | "outcome-unknown" | "closed"
> {
  override readonly name = "PublishError";
}

/** Why a client is closed. */
export type CloseReason =
  /** This side closed it. */
  | { readonly type: "local" }
  /** The connection was lost, and `reconnect` is `false`. */
  | { readonly type: "lost"; readonly error: Error }
  /** Connecting failed in a way that trying again cannot fix, such as a refused token. */
  | { readonly type: "failed"; readonly error: ConnectError };

/** Returns the message of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
