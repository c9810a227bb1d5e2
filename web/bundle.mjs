// Bundles the console into a folder: `node bundle.mjs OUT`. What the daemon embeds is made by this.
//
// Scripts, styles and pictures carry a hash in their names, so that browsers keep them for good; each file lies there
// plain and compressed, and `files.tsv` tells its name, its content type and its ETag.

import { createHash } from "node:crypto";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, constants } from "node:zlib";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const KINDS = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
};

const hash = (bytes) => createHash("sha256").update(bytes).digest("hex").slice(0, 16);
const short = (text) => text.replace(/\n\s+/g, "\n");

/** Makes everything anew, and gives the names of all files with their bytes. */
export async function bundle() {
  const picture = await readFile(join(here, "src/mark.svg"));
  const pictureName = `mark-${hash(picture)}.svg`;
  const made = await build({
    absWorkingDir: here,
    entryPoints: { console: "src/main.tsx", style: "src/console.css" },
    entryNames: "[name]-[hash]",
    outdir: "out",
    write: false,
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2022",
    jsx: "automatic",
    jsxImportSource: "preact",
    define: { MARK: JSON.stringify(pictureName) },
    legalComments: "none",
    logLevel: "warning",
  });
  const files = new Map([[pictureName, picture]]);
  let page = short(await readFile(join(here, "src/index.html"), "utf8")).replaceAll("mark.svg", pictureName);
  for (const file of made.outputFiles) {
    const name = file.path.split("/").at(-1);
    files.set(name, Buffer.from(file.contents));
    page = page.replace(name.startsWith("style-") ? "console.css" : "console.js", name);
  }
  files.set("index.html", Buffer.from(page));
  return files;
}

export const kindOf = (name) => KINDS[extname(name)];

async function write(out) {
  await rm(out, { recursive: true, force: true });
  await mkdir(out, { recursive: true });
  const lines = [];
  for (const [name, bytes] of await bundle()) {
    const compressed = brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } });
    await writeFile(join(out, name), bytes);
    await writeFile(join(out, `${name}.br`), compressed);
    lines.push(`${name}\t${kindOf(name)}\t${hash(bytes)}\n`);
  }
  await writeFile(join(out, "files.tsv"), lines.join(""));
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (!process.argv[2]) throw new Error("say where to: node bundle.mjs OUT");
  await write(process.argv[2]);
}
