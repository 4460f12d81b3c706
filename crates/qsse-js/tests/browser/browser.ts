/** A real browser, and pages for it. */
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect, createServer as createRelay, type Socket } from "node:net";
import { fileURLToPath } from "node:url";

import { build } from "esbuild";
import { type Browser, chromium, type Page } from "playwright-core";

import { Hub } from "../hub.js";

/** What the tests of pages share: a browser, and a server of pages with the client at `/qsse.js`. */
export class Pages {
  private constructor(
    readonly browser: Browser,
    readonly server: Server,
    /** The origin of the pages. */
    readonly origin: string,
  ) {}

  static async start(): Promise<Pages> {
    const { outputFiles } = await build({
      entryPoints: [fileURLToPath(new URL("../../../src/index.ts", import.meta.url))],
      bundle: true,
      format: "esm",
      write: false,
    });
    const client = outputFiles[0]?.text ?? "";
    const server = createServer((request, response) => {
      const isClient = request.url === "/qsse.js";
      response.setHeader("content-type", isClient ? "text/javascript" : "text/html");
      response.end(isClient ? client : "<!doctype html><title>test</title>");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const browser = await chromium.launch({
      executablePath: process.env["CHROMIUM"] ?? "/usr/bin/chromium",
      args: ["--no-sandbox"],
    });
    return new Pages(browser, server, `http://localhost:${(server.address() as AddressInfo).port}`);
  }

  /** Starts a server that these pages may use. */
  async hub(...args: readonly string[]): Promise<Hub> {
    return Hub.start(() => ["--http-origins", this.origin, ...args]);
  }

  /** Opens a page that trusts development certificates. */
  async open(): Promise<Page> {
    const context = await this.browser.newContext({ ignoreHTTPSErrors: true });
    const page = await context.newPage();
    await page.goto(this.origin);
    return page;
  }

  async stop(): Promise<void> {
    await this.browser.close();
    this.server.close();
  }
}

/** Passes on what goes between a page and a server, and loses it when it is told to. */
export class Relay {
  readonly #sockets = new Set<Socket>();
  readonly #server: ReturnType<typeof createRelay>;
  #isCut = false;

  private constructor(target: number) {
    this.#server = createRelay((inner) => {
      const outer = connect(target, "127.0.0.1");
      for (const [from, to] of [
        [inner, outer],
        [outer, inner],
      ] as const) {
        this.#sockets.add(from);
        from.on("error", () => to.destroy());
        from.on("close", () => {
          this.#sockets.delete(from);
          to.destroy();
        });
        from.pipe(to);
      }
      if (this.#isCut) {
        inner.destroy();
      }
    });
  }

  static async start(url: string): Promise<Relay> {
    const relay = new Relay(Number(new URL(url).port));
    await new Promise<void>((resolve) => relay.#server.listen(0, "127.0.0.1", resolve));
    return relay;
  }

  /** The port to connect to. */
  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  /** Loses all connections, and new ones until it is mended. */
  cut(): void {
    this.#isCut = true;
    this.#sockets.forEach((socket) => socket.destroy());
  }

  mend(): void {
    this.#isCut = false;
  }

  stop(): void {
    this.cut();
    this.#server.close();
  }
}
