// Writes dist: the modules with their types.
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";

rmSync("dist", { recursive: true, force: true });
const { status } = spawnSync("npx", ["tsc", "-p", "."], { stdio: "inherit" });
process.exit(status ?? 1);
