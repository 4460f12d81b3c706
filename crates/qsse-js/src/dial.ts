import type { Dial } from "./connection.js";
import { HttpSession } from "./http/session.js";
import type { ConnectOptions } from "./options.js";

/** How long a stream may be silent, in milliseconds. */
const SILENCE = 45_000;

/** How long a check may take, in milliseconds. */
const CHECK = 5_000;

/** Returns what opens sessions to the server whose routes are at `base`. */
export function dialer(base: string, options: ConnectOptions): Dial {
  return (token, signal) => {
    const http = {
      base,
      token,
      // A browser's fetch must be called as a method of its window.
      fetch: options.fetch ?? ((input, init) => fetch(input, init)),
      credentials: options.credentials ?? "same-origin",
      silence: options.silence ?? SILENCE,
      timeout: CHECK,
    } as const;
    return HttpSession.open(http, signal);
  };
}
