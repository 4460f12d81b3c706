// Fails if the client, as one minified and compressed file, is over its limit.
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

const LIMIT = 15 * 1024;

const { outputFiles } = await build({
  entryPoints: ["src/index.ts"],
  bundle: true,
  minify: true,
  format: "esm",
  target: "es2022",
  write: false,
});
const [file] = outputFiles;
const packed = gzipSync(file.contents, { level: 9 }).length;
console.log(`size: ${file.contents.length} bytes minified, ${packed} compressed, limit ${LIMIT}`);
process.exit(packed <= LIMIT ? 0 : 1);
