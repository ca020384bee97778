/** Frames of RFC 6455 that a client should not send: a close that says why, and nobody else feels it. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Client, RawSocket, type Served, serve, TARGET } from "./support/serve.ts";

let served: Served;
let neighbour: Client;
beforeAll(async () => {
  served = await serve({ limits: { fragments: 64 } });
  neighbour = await served.open();
});
afterEach(async () => {
  expect((await neighbour.call("Target.list")).result).toEqual([TARGET]);
});
afterAll(() => served.stop());

const [CONTINUATION, TEXT, BINARY, CLOSE, PING] = [0, 1, 2, 8, 9];

/** A client's frame (RFC 6455, 5.2), masked with zeros. */
function frame(
  opcode: number,
  payload: Buffer | string,
  options: { fin?: boolean; rsv1?: boolean; masked?: boolean } = {},
): Buffer {
  const { fin = true, rsv1 = false, masked = true } = options;
  const data = Buffer.from(payload);
  const head = [(fin ? 0x80 : 0) | (rsv1 ? 0x40 : 0) | opcode];
  const mask = masked ? 0x80 : 0;
  if (data.length < 126) head.push(mask | data.length);
  else if (data.length < 65_536) head.push(mask | 126, data.length >> 8, data.length & 255);
  else head.push(mask | 127, 0, 0, 0, 0, ...Buffer.from(Uint32Array.of(data.length).buffer).reverse());
  return Buffer.concat([Buffer.from(head), Buffer.alloc(masked ? 4 : 0), data]);
}

async function opened(): Promise<RawSocket> {
  const raw = new RawSocket({ port: served.port });
  raw.socket.write(
    `GET /rpc HTTP/1.1\r\nHost: 127.0.0.1:${served.port}\r\nAuthorization: Bearer ${served.tokens.control}\r\n` +
      "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
      "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
  );
  expect(await raw.until((text) => text.includes("\r\n\r\n"))).toMatch(/^HTTP\/1.1 101/);
  return raw;
}

/** The code of the close frame with which the server ends. */
async function closeCode(raw: RawSocket): Promise<number | undefined> {
  await raw.until((text) => text.includes("\x88", text.indexOf("\r\n\r\n")));
  const bytes = raw.bytes;
  const at = bytes.indexOf(0x88, bytes.indexOf("\r\n\r\n"));
  raw.socket.destroy();
  return at === -1 ? undefined : bytes.readUInt16BE(at + 2);
}

const CALL = '{"jsonrpc":"2.0","id":1,"method":"Target.list"}';

describe("the frames of a client", () => {
  it("are never compressed, though a client offers it", async () => {
    const raw = await opened();
    expect(raw.bytes.toString("latin1").toLowerCase()).not.toContain("sec-websocket-extensions");
    raw.socket.destroy();
  });

  it.each<[string, () => Buffer, number]>([
    ["binary", () => frame(BINARY, CALL), 1003],
    ["no UTF-8", () => frame(TEXT, Buffer.of(0x22, 0xc3, 0x28, 0x22)), 1007],
    ["not masked", () => frame(TEXT, CALL, { masked: false }), 1002],
    ["compressed", () => frame(TEXT, CALL, { rsv1: true }), 1002],
    ["of an opcode that there is not", () => frame(3, CALL), 1002],
    ["a continuation of nothing", () => frame(CONTINUATION, CALL), 1002],
    ["a new message inside of one", () => Buffer.concat([frame(TEXT, "[", { fin: false }), frame(TEXT, "]")]), 1002],
    ["a ping in fragments", () => frame(PING, "x", { fin: false }), 1002],
    ["a ping that is too long", () => frame(PING, "x".repeat(126)), 1002],
    ["longer than a message may be", () => frame(TEXT, " ".repeat((1 << 20) + 1)), 1009],
    ["a close with a code that is none", () => frame(CLOSE, Buffer.of(0x03, 0xe7)), 1002],
    [
      "fragments that come to more than a message may be",
      () =>
        Buffer.concat([0, 1, 2].map((i) => frame(i === 0 ? TEXT : CONTINUATION, " ".repeat(400_000), { fin: false }))),
      1009,
    ],
    [
      "more fragments than a message may have",
      () =>
        Buffer.concat(Array.from({ length: 80 }, (_, i) => frame(i === 0 ? TEXT : CONTINUATION, "x", { fin: false }))),
      1008,
    ],
  ])("that are %s end the connection with a code that says so", async (_name, bytes, code) => {
    const raw = await opened();
    raw.socket.write(bytes());
    expect(await closeCode(raw)).toBe(code);
  });

  it("that announce 2^63 bytes end the connection before any of them came", async () => {
    const raw = await opened();
    raw.socket.write(Buffer.of(0x81, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0));
    expect(await closeCode(raw)).toBe(1009);
  });

  it("that are fragments of a call, with a ping between them, byte by byte, make that call", async () => {
    const raw = await opened();
    const bytes = Buffer.concat([
      frame(TEXT, CALL.slice(0, 9), { fin: false }),
      frame(PING, "still here"),
      frame(CONTINUATION, "", { fin: false }),
      frame(CONTINUATION, CALL.slice(9)),
    ]);
    for (const byte of bytes) raw.socket.write(Buffer.of(byte));
    const text = await raw.until((got) => got.includes('"result":[{"target":"t1"'));
    expect(text).toContain("still here");
    raw.socket.destroy();
  });

  it("that never end keep nobody from anything", async () => {
    const raw = await opened();
    raw.socket.write(frame(TEXT, CALL).subarray(0, 20));
    expect((await neighbour.call("Bridge.version")).result.name).toBe("ebscope");
    raw.socket.destroy();
  });

  it("are not waited for for ever: a client that answers no ping is cut off", async () => {
    const own = await serve({ limits: { ping: 30 } });
    const silent = new RawSocket({ port: own.port });
    silent.socket.write(
      `GET /rpc HTTP/1.1\r\nHost: 127.0.0.1:${own.port}\r\nAuthorization: Bearer ${own.tokens.read}\r\n` +
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    const alive = await own.open();
    await silent.end();
    expect((await alive.call("Bridge.version")).result.name).toBe("ebscope");
    await own.stop();
  });
});
