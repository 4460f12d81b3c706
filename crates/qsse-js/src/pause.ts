/** Waits that can be cut short together. */
export class Pauses {
  readonly #ends = new Set<() => void>();

  /**
   * Waits for some milliseconds, or until {@link end} is called.
   *
   * @throws the reason of the signal if it aborts.
   */
  wait(milliseconds: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted();
      const end = (): void => {
        clearTimeout(timer);
        signal.removeEventListener("abort", abort);
        this.#ends.delete(end);
        resolve();
      };
      const abort = (): void => {
        end();
        reject(signal.reason as Error);
      };
      const timer = setTimeout(end, milliseconds);
      signal.addEventListener("abort", abort, { once: true });
      this.#ends.add(end);
    });
  }

  /** Ends all waits now. */
  end(): void {
    for (const end of [...this.#ends]) {
      end();
    }
  }
}
