// Writes the client as one module to where the server has it; with `--check`, compares it.
import { readFileSync, writeFileSync } from "node:fs";
import { argv, exit } from "node:process";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const FILE = new URL("../../qsse-http/src/client/qsse.js", import.meta.url);

/** Returns the client as one minified module. */
export async function bundle() {
  const { outputFiles } = await build({
    entryPoints: [fileURLToPath(new URL("../src/index.ts", import.meta.url))],
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    banner: { js: "// The client of crates/qsse-js. MIT OR Apache-2.0" },
    write: false,
  });
  return outputFiles[0].contents;
}

if (argv[1] === fileURLToPath(import.meta.url)) {
  const file = Buffer.from(await bundle());
  if (!argv.includes("--check")) {
    writeFileSync(FILE, file);
  } else if (!file.equals(readFileSync(FILE))) {
    console.error("crates/qsse-http/src/client/qsse.js is out of date: `npm run bundle` writes it");
    exit(1);
  }
}
