/** A real `qsse serve` for tests: started, killed and started again on the same port. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const PROGRAM = process.env["QSSE"] ?? new URL("../../../../target/debug/qsse", import.meta.url).pathname;

export class Hub {
  /** A folder of its own: for a store, tokens and the like. */
  readonly folder = mkdtempSync(join(tmpdir(), "qsse-js-"));
  #child: ChildProcess | undefined;
  #http = "127.0.0.1:0";
  #quic = "127.0.0.1:0";
  readonly #args: readonly string[];

  private constructor(args: (folder: string) => readonly string[]) {
    this.#args = args(this.folder);
  }

  /** Starts a server with more arguments, which may name files in its folder. */
  static async start(args: (folder: string) => readonly string[] = () => []): Promise<Hub> {
    const hub = new Hub(args);
    await hub.restart();
    return hub;
  }

  /** The URL of its HTTP routes. */
  get url(): string {
    return `http://${this.#http}`;
  }

  /** The URL of WebTransport, on the port of native clients. */
  get webTransport(): string {
    return `https://${this.#quic}/qsse/1`;
  }

  /** Publishes many events in one request. */
  async publish(events: readonly { topic: string; data: string }[]): Promise<void> {
    const body = events.map((event) => JSON.stringify(event)).join("\n");
    const response = await fetch(`${this.url}/publish`, { method: "POST", body });
    const { count } = (await response.json()) as { count: number };
    if (count !== events.length) {
      throw new Error(`${count} of ${events.length} events were published`);
    }
  }

  /** Starts it again: for HTTP on the same port, and for QUIC if nobody says otherwise. */
  async restart(quic = this.#quic): Promise<void> {
    const args = ["serve", "--listen", quic, "--http", this.#http, ...this.#args];
    const child = spawn(PROGRAM, args, {
      cwd: this.folder,
      env: { ...process.env, XDG_STATE_HOME: this.folder },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#child = child;
    const errors: string[] = [];
    child.stderr.on("data", (text: Buffer) => errors.push(text.toString()));
    for await (const line of createInterface(child.stdout)) {
      this.#quic = /^listening on (.*)$/.exec(line)?.[1] ?? this.#quic;
      const address = /^http on (.*)$/.exec(line)?.[1];
      if (address !== undefined) {
        this.#http = address;
        child.stdout.resume();
        return;
      }
    }
    throw new Error(`the server did not start: ${errors.join("")}`);
  }

  /** Ends it as a power cut does, or as Ctrl-C does. */
  async end(signal: "SIGKILL" | "SIGINT" = "SIGKILL"): Promise<void> {
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) {
      return;
    }
    const ended = new Promise((resolve) => child.once("exit", resolve));
    child.kill(signal);
    await ended;
  }

  /** Ends it and removes its folder. */
  async remove(): Promise<void> {
    await this.end();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Waits until something is so, for at most 20 s. */
export async function until(what: string, is: () => boolean): Promise<void> {
  for (let tries = 0; !is(); tries += 1) {
    if (tries > 2_000) {
      throw new Error(`it never came to this: ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
