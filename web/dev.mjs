// Serves the console to its developers: `node dev.mjs STATE_DIR [PORT]`. Bundles anew at each load of the page, and
// forwards /api to the socket of the daemon of that state directory: who can reach this port is its owner.

import { createServer, request } from "node:http";
import { join } from "node:path";
import { bundle, kindOf } from "./bundle.mjs";

const state = process.argv[2];
if (!state) throw new Error("say which daemon: node dev.mjs STATE_DIR [PORT]");
const port = Number(process.argv[3] ?? 8080);
let files = await bundle();

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

async function serve(path, to) {
  if (path === "/") files = await bundle();
  const name = path === "/" ? "index.html" : path.slice(1);
  const bytes = files.get(name);
  if (!bytes) return to.writeHead(404).end();
  const headers = { "content-type": kindOf(name), "content-security-policy": "default-src 'self'" };
  return to.writeHead(200, headers).end(bytes);
}

const server = createServer((from, to) => {
  if (from.url.startsWith("/api/")) return forward(from, to);
  return serve(from.url.split("?")[0], to).catch((error) => {
    console.error(error);
    to.writeHead(500).end();
  });
});
server.listen(port, "127.0.0.1", () => console.log(`console at http://127.0.0.1:${server.address().port}/`));
