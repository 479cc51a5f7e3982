// Builds hello.js into a component: node build.mjs COMPONENTIZE-JS WIT OUT

import { readFile, writeFile } from "node:fs/promises";

const [tool, wit, out] = process.argv.slice(2);
const { componentize } = await import(tool);
const source = await readFile(new URL("hello.js", import.meta.url), "utf8");
const { component } = await componentize(source, { witPath: wit, worldName: "server" });
await writeFile(out, component);
