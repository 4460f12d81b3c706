/**
 * The codes of the protocol: why a request was refused or a stream ended. Section 10 of
 * docs/protocol.md lists what they mean. Servers may send numbers that are not listed here.
 */
export const Code = {
  NO_ERROR: 0,
  NOT_AUTHORISED: 1,
  TOPIC_NOT_AVAILABLE: 2,
  FAILED_TO_CREATE_STREAM: 3,
  FAILED_TO_SEND_OFFER: 4,
  UNKNOWN: 5,
  PROTOCOL_VIOLATION: 16,
  FRAME_TOO_LARGE: 17,
  BUSY: 18,
  SHUTTING_DOWN: 19,
  LAGGED: 20,
  UNSUBSCRIBED: 21,
  TOO_MANY_SUBSCRIPTIONS: 22,
  HELLO_TIMEOUT: 23,
  EVENT_TOO_LARGE: 24,
  INVALID_TOPIC: 25,
  UNSUPPORTED: 26,
  TOKEN_EXPIRED: 27,
  TOO_MANY_TOPICS: 28,
  FAILED_BEFORE: 29,
  TOO_MANY_WILDCARDS: 30,
  RATE_LIMITED: 31,
  OUTCOME_UNKNOWN: 32,
  STORE_UNAVAILABLE: 33,
  FRAME_TIMEOUT: 34,
} as const;

const RETRYABLE: readonly number[] = [
  Code.BUSY,
  Code.SHUTTING_DOWN,
  Code.LAGGED,
  Code.HELLO_TIMEOUT,
  Code.RATE_LIMITED,
  Code.FRAME_TIMEOUT,
];

/** Returns whether the same request may succeed later without any change (QP-10.3). */
export function isRetryable(code: number): boolean {
  return RETRYABLE.includes(code);
}

/** Returns the name of a code, such as `not authorised`, or its number. */
export function codeName(code: number): string {
  const name = Object.entries(Code).find(([, number]) => number === code)?.[0];
  return name === undefined ? `code ${code}` : name.toLowerCase().replaceAll("_", " ");
}
