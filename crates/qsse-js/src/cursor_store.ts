import { onLeave } from "./wake.js";

/** Where a subscription keeps its cursor, so that it goes on there in its next run. */
export interface CursorStore {
  /** Returns the cursor, or nothing if there is none yet. */
  load(): string | null | undefined;
  /** Keeps the cursor. */
  save(cursor: string): void;
}

/** How often a cursor is saved at most, in milliseconds. */
const EVERY = 100;

/** Returns a store in `localStorage`, under `qsse:` and this name. */
export function localCursor(name: string): CursorStore {
  const key = `qsse:${name}`;
  return {
    load: () => localStorage.getItem(key),
    save: (cursor) => localStorage.setItem(key, cursor),
  };
}

/** Saves a cursor now and then: at most ten times a second, and when the page goes. */
export class CursorSaver {
  readonly #store: CursorStore;
  readonly #unwatch: () => void;
  #latest: string | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(store: CursorStore) {
    this.#store = store;
    this.#unwatch = onLeave(() => this.flush());
  }

  /** Takes note of a cursor. */
  save(cursor: string): void {
    this.#latest = cursor;
    this.#timer ??= setTimeout(() => this.flush(), EVERY);
  }

  /** Saves the latest cursor now. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#latest !== undefined) {
      this.#store.save(this.#latest);
      this.#latest = undefined;
    }
  }

  /** Saves the latest cursor, and no more after it. */
  end(): void {
    this.#unwatch();
    this.flush();
  }
}
