// Serves the console to its developers: `node dev.mjs STATE_DIR [PORT]`. Bundles anew at each load, and
// forwards /api to the socket of the daemon of that state directory, whose owner it is thereby.

import { readFile } from "node:fs/promises";
import { createServer, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { bundle } from "./bundle.mjs";

const state = process.argv[2];
if (!state) throw new Error("say which daemon: node dev.mjs STATE_DIR [PORT]");
const port = Number(process.argv[3] ?? 8080);
const out = join(tmpdir(), `tidemark-console-${process.pid}`);
const kinds = {
  html: "text/html; charset=utf-8",
  js: "text/javascript",
  css: "text/css",
  svg: "image/svg+xml",
};

function forward(from, to) {
  const { method, url: path, headers } = from;
  const onward = request({ socketPath: join(state, "tidemark.sock"), method, path, headers }, (answer) => {
    to.writeHead(answer.statusCode, answer.headers);
    answer.pipe(to);
  });
  onward.on("error", (error) => {
    if (!to.headersSent) to.writeHead(502, { "content-type": "text/plain" });
    to.end(`the daemon of ${state} does not answer: ${error.message}\n`);
  });
  to.on("close", () => onward.destroy());
  from.pipe(onward);
}

async function serve(url, to) {
  const name = url === "/" ? "index.html" : url.slice(1);
  if (!/^[a-z]+\.(html|js|css|svg)$/.test(name)) {
    to.writeHead(404).end();
    return;
  }
  if (name === "index.html") await bundle(out);
  to.writeHead(200, {
    "content-type": kinds[name.split(".")[1]],
    "content-security-policy": "default-src 'self'",
  });
  to.end(await readFile(join(out, name)));
}

await bundle(out);
createServer((from, to) => {
  if (from.url.startsWith("/api/")) forward(from, to);
  else
    serve(from.url.split("?")[0], to).catch((error) => {
      console.error(error);
      to.writeHead(500).end();
    });
}).listen(port, "127.0.0.1", () => console.log(`console at http://127.0.0.1:${port}/`));
