/**
 * Controllers that abort together. Signals could follow each other instead, but Node warns of a leak
 * when one has more than ten listeners, and a client may have any number of subscriptions.
 */
export class AbortGroup {
  readonly #members = new Set<AbortController>();
  #aborted: { readonly reason: unknown } | undefined;

  /** Aborts all members now, and those to come when they join. */
  abort(reason: unknown): void {
    this.#aborted ??= { reason };
    for (const member of this.#members) {
      member.abort(this.#aborted.reason);
    }
    this.#members.clear();
  }

  /** Adds a member. Returns a function that takes it out again. */
  add(member: AbortController): () => void {
    if (this.#aborted === undefined) {
      this.#members.add(member);
    } else {
      member.abort(this.#aborted.reason);
    }
    return () => this.#members.delete(member);
  }
}

/** Aborts `controller` when the signal does. Returns a function that stops watching it. */
export function follow(controller: AbortController, signal: AbortSignal | undefined): () => void {
  const abort = (): void => controller.abort(signal?.reason);
  if (signal?.aborted === true) {
    abort();
  }
  signal?.addEventListener("abort", abort, { once: true });
  return () => signal?.removeEventListener("abort", abort);
}

/** Returns what `promise` does, unless `signal` aborts before. */
export function orAbort<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(signal.reason as Error);
    if (signal.aborted) {
      abort();
    }
    signal.addEventListener("abort", abort, { once: true });
    const done = (): void => signal.removeEventListener("abort", abort);
    promise.then(resolve, reject).finally(done);
  });
}
