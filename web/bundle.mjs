// Bundles the console into a folder: `node bundle.mjs OUT`. What the daemon embeds is made by this.

import { copyFile, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));

export async function bundle(out) {
  await mkdir(out, { recursive: true });
  await build({
    absWorkingDir: here,
    entryPoints: { console: "src/main.tsx" },
    outdir: out,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    legalComments: "none",
    logLevel: "warning",
  });
  for (const name of ["index.html", "console.css", "mark.svg"]) {
    await copyFile(join(here, "src", name), join(out, name));
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (!process.argv[2]) throw new Error("say where to: node bundle.mjs OUT");
  await bundle(process.argv[2]);
}
