import { follow } from "./abort.js";
import type { Dial } from "./connection.js";
import { Failure } from "./failure.js";
import { type HttpOptions, HttpSession } from "./http/session.js";
import type { ConnectOptions } from "./options.js";
import type { Session } from "./session.js";
import { WebTransportSession } from "./web_transport/session.js";

/** How long a stream may be silent, in milliseconds. */
const SILENCE = 45_000;

/** How long a check may take, in milliseconds. */
const CHECK = 5_000;

/** How long WebTransport may take where fetch would do, in milliseconds. */
const HEAD_START = 1_000;

/** How long WebTransport is not tried after it has failed, in milliseconds. */
const REST = 60_000;

/** Returns what opens sessions to the server whose routes are at `base`. */
export function dialer(base: string, options: ConnectOptions): Dial {
  let restsUntil = 0;
  const { transport = "auto" } = options;
  return async (token, signal) => {
    const http = new HttpSession(httpOptions(base, token, options));
    if (transport === "web-transport") {
      return webTransport(base, options, http, signal);
    }
    const isThere = "WebTransport" in globalThis && performance.now() >= restsUntil;
    if (transport === "fetch" || !isThere) {
      await http.probe(signal);
      return http;
    }
    const abort = new AbortController();
    const unfollow = follow(abort, signal);
    const timer = setTimeout(() => abort.abort(new Failure("lost", "it took too long")), HEAD_START);
    // Meanwhile, so that no time is lost if WebTransport is blocked.
    const probed = http.probe(signal);
    probed.catch(() => undefined);
    try {
      return await webTransport(base, options, http, abort.signal);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Failure && error.kind === "token") {
        throw error;
      }
      restsUntil = performance.now() + REST;
      await probed;
      return http;
    } finally {
      clearTimeout(timer);
      unfollow();
    }
  };
}

function httpOptions(
  base: string,
  token: string | undefined,
  options: ConnectOptions,
): HttpOptions {
  return {
    base,
    token,
    // A browser's fetch must be called as a method of its window.
    fetch: options.fetch ?? ((input, init) => fetch(input, init)),
    credentials: options.credentials ?? "same-origin",
    silence: options.silence ?? SILENCE,
    timeout: CHECK,
  };
}

async function webTransport(
  base: string,
  options: ConnectOptions,
  http: HttpSession,
  signal: AbortSignal,
): Promise<Session> {
  const { origin, hostname, host } = new URL(base);
  // Browsers try only one address of a name here, and `localhost` has two.
  const url = options.webTransport ?? `https://${host.replace(/^localhost\b/, "127.0.0.1")}/qsse/1`;
  const { fingerprint } = options;
  const given = fingerprint === undefined ? [] : [fingerprint].flat().map(fromHex);
  const isLocal = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
  const hashes = given.length === 0 && isLocal ? await published(origin, signal) : given;
  const serverCertificateHashes = hashes.map((value) => ({ algorithm: "sha-256", value }));
  const trust = hashes.length === 0 ? {} : { serverCertificateHashes };
  return WebTransportSession.open(url, trust, http, signal);
}

/** Returns the fingerprints of the development certificates that a server publishes. */
async function published(origin: string, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>[]> {
  const response = await fetch(`${origin}/.well-known/qsse/certificate-hashes`, { signal });
  if (!response.ok) {
    return [];
  }
  const { hashes } = (await response.json()) as { hashes: readonly { value: string }[] };
  const bytes = (text: string): Uint8Array<ArrayBuffer> =>
    Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  return hashes.map(({ value }) => bytes(value));
}

function fromHex(text: string): Uint8Array<ArrayBuffer> {
  const digits = text.replaceAll(":", "").match(/../g) ?? [];
  return Uint8Array.from(digits, (byte) => Number.parseInt(byte, 16));
}
