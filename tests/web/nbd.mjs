// A small NBD client: fixed newstyle, simple replies, one request at a time. It sees what any client of a volume sees.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { connect } from "node:net";

const OPTION = 0x49484156454f5054n;
const PIECE = 1 << 20;

export class Nbd {
  #socket;
  #waiting = Buffer.alloc(0);
  #wake = () => {};
  #cookie = 0n;
  size = 0n;

  /** Enters an export of the server at `host:port`. */
  static async open(address, name) {
    const client = new Nbd();
    const [host, port] = address.split(":");
    client.#socket = connect(Number(port), host);
    client.#socket.on("data", (data) => {
      client.#waiting = Buffer.concat([client.#waiting, data]);
      client.#wake();
    });
    const greeting = await client.#take(18);
    assert.equal(greeting.subarray(0, 16).toString(), "NBDMAGICIHAVEOPT");
    const label = Buffer.from(name);
    const go = Buffer.alloc(4 + 16 + 4 + label.length + 2);
    go.writeUInt32BE(3, 0);
    go.writeBigUInt64BE(OPTION, 4);
    go.writeUInt32BE(7, 12);
    go.writeUInt32BE(4 + label.length + 2, 16);
    go.writeUInt32BE(label.length, 20);
    label.copy(go, 24);
    client.#socket.write(go);
    for (;;) {
      const head = await client.#take(20);
      const data = await client.#take(head.readUInt32BE(16));
      const code = head.readUInt32BE(12);
      if (code === 3 && data.readUInt16BE(0) === 0) client.size = data.readBigUInt64BE(2);
      if (code === 1) return client;
      assert.ok(code < 0x80000000, `the export ${name} is refused: ${code.toString(16)}`);
    }
  }

  async #take(length) {
    while (this.#waiting.length < length) {
      await new Promise((wake) => {
        this.#wake = wake;
      });
    }
    const taken = this.#waiting.subarray(0, length);
    this.#waiting = this.#waiting.subarray(length);
    return taken;
  }

  async #ask(command, offset, length, data = Buffer.alloc(0)) {
    this.#cookie += 1n;
    const head = Buffer.alloc(28);
    head.writeUInt32BE(0x25609513, 0);
    head.writeUInt16BE(command, 6);
    head.writeBigUInt64BE(this.#cookie, 8);
    head.writeBigUInt64BE(BigInt(offset), 16);
    head.writeUInt32BE(length, 24);
    this.#socket.write(Buffer.concat([head, data]));
    const answer = await this.#take(16);
    assert.equal(answer.readUInt32BE(0), 0x67446698);
    assert.equal(answer.readUInt32BE(4), 0, `NBD error ${answer.readUInt32BE(4)}`);
    return command === 0 ? this.#take(length) : undefined;
  }

  async write(offset, data) {
    await this.#ask(1, offset, data.length, data);
    await this.#ask(3, 0, 0);
  }

  /** SHA-256 over everything that it holds. */
  async hash() {
    const sum = createHash("sha256");
    for (let at = 0; at < Number(this.size); at += PIECE) {
      sum.update(await this.#ask(0, at, Math.min(PIECE, Number(this.size) - at)));
    }
    return sum.digest("hex");
  }

  close() {
    this.#socket.destroy();
  }
}

/** SHA-256 over everything that an export holds now. */
export async function hashOf(address, name) {
  const client = await Nbd.open(address, name);
  try {
    return await client.hash();
  } finally {
    client.close();
  }
}
