// Fails if the client, as one minified and compressed file, is over its limit.
import { gzipSync } from "node:zlib";
import { bundle } from "./bundle.js";

const LIMIT = 15 * 1024;

const file = await bundle();
const packed = gzipSync(file, { level: 9 }).length;
console.log(`size: ${file.length} bytes minified, ${packed} compressed, limit ${LIMIT}`);
process.exitCode = packed <= LIMIT ? 0 : 1;
