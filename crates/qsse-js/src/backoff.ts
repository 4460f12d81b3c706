/** How long a client waits before it connects again. */
export interface ReconnectPolicy {
  /** The upper bound of the first delay, in milliseconds, at least 1. Default 100. */
  firstDelay?: number;
  /** The upper bound of every delay, in milliseconds, at least 1. Default 10,000. */
  maxDelay?: number;
}

/**
 * Exponential backoff with full jitter: each delay is random between zero and a bound that doubles
 * up to a maximum, so that the clients of a restarted server do not come back all at once.
 */
export class Backoff {
  #attempt = 0;
  readonly #first: number;
  readonly #max: number;

  constructor(policy: ReconnectPolicy = {}) {
    this.#first = Math.max(1, policy.firstDelay ?? 100);
    this.#max = Math.max(1, policy.maxDelay ?? 10_000);
  }

  /** Returns the largest possible delay before the next attempt, in milliseconds. */
  get bound(): number {
    return Math.min(this.#first * 2 ** this.#attempt, this.#max);
  }

  /**
   * Returns the delay before the next attempt, in milliseconds. A delay that the server asked for is
   * never shortened: up to half of it is added.
   */
  next(atLeast = 0): number {
    const bound = Math.max(this.bound, atLeast / 2);
    this.#attempt += 1;
    return atLeast + Math.random() * bound;
  }

  /** Begins again with the smallest bound. */
  reset(): void {
    this.#attempt = 0;
  }
}
