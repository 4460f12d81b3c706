// Compiles everything, with the tests of the types, and runs the tests: `npm test [-- NAME…]`, or
// those in a browser: `npm run browser`.
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";

function run(program, ...args) {
  const { status } = spawnSync(program, args, { stdio: "inherit" });
  if (status !== 0) {
    process.exit(status ?? 1);
  }
}

rmSync("build", { recursive: true, force: true });
run("npx", "tsc", "-p", "tests");
const names = process.argv.slice(2).filter((name) => name !== "--browser");
const folder = process.argv.includes("--browser") ? "build/tests/browser" : "build/tests";
const isChosen = (file) => names.length === 0 || names.some((name) => file.startsWith(name));
const files = readdirSync(folder).filter((file) => file.endsWith(".test.js"));
const paths = files.filter(isChosen).map((file) => `${folder}/${file}`);
run(process.execPath, "--test", "--test-reporter=spec", "--test-timeout=60000", ...paths);
