import { describe, expect, it } from "vitest";
import { isAnnex, readObject, readObjectPiece } from "../../../src/rsp/commands/transfer.ts";
import type { Send } from "../../../src/rsp/commands/wire.ts";

const wire = (text: string): Buffer => Buffer.from(text, "latin1");

/** A stub that hands out `object` in pieces of at most `most` bytes, as QEMU does; notes what was asked. */
function stub(object: Buffer, most: number, asked: string[] = []): Send {
  return async (command) => {
    const payload = String(command.payload);
    asked.push(payload);
    const [, offset = "", length = ""] = /:([0-9a-f]+),([0-9a-f]+)$/.exec(payload) ?? [];
    const at = Number.parseInt(offset, 16);
    const end = at + Math.min(most, Number.parseInt(length, 16));
    const letter = end < object.length ? "m" : "l";
    return command.decode(Buffer.concat([wire(letter), object.subarray(at, end)]));
  };
}

/** Answers with the replies in their order, the last one again and again. */
function scripted(replies: readonly string[], asked: string[] = []): Send {
  return async (command) => {
    const reply = replies[Math.min(asked.length, replies.length - 1)] as string;
    asked.push(String(command.payload));
    return command.decode(wire(reply));
  };
}

describe("qXfer:…:read", () => {
  it.each<[string, string, number, number, string]>([
    ["features", "target.xml", 0, 0xffb, "qXfer:features:read:target.xml:0,ffb"],
    ["auxv", "", 0x1000, 0x1000, "qXfer:auxv:read::1000,1000"],
    ["libraries-svr4", "start=0,prev=10;lmid=0", 0, 16, "qXfer:libraries-svr4:read:start=0,prev=10;lmid=0:0,10"],
  ])("goes out for %s %s", (object, annex, offset, length, payload) => {
    expect(readObjectPiece(object, annex, offset, length).payload).toBe(payload);
  });

  it.each<[string, number, unknown]>([
    ["m<?xml", 5, { last: false, bytes: "<?xml" }],
    ["l<?xml", 5, { last: true, bytes: "<?xml" }],
    ["l", 5, { last: true, bytes: "" }],
    ["m<", 5, { last: false, bytes: "<" }],
    ["lE01", 5, { last: true, bytes: "E01" }],
    // At least one byte has to come with m.
    ["m", 5, "malformed"],
    ["m<?xml ", 5, "malformed"],
    ["l<?xml ", 5, "malformed"],
    ["<?xml", 5, "malformed"],
    ["OK", 5, "malformed"],
    ["E00", 5, "error"],
    ["E.no such annex", 99, "error"],
    ["", 5, "unsupported"],
  ])("reads %j when %i bytes were asked for", (reply, length, expected) => {
    const read = readObjectPiece("features", "target.xml", 0, length).decode(wire(reply));
    if (read.kind !== "ok") expect(read.kind).toBe(expected);
    else expect({ last: read.value.last, bytes: Buffer.from(read.value.bytes).toString("latin1") }).toEqual(expected);
  });

  it.each<[string, string, number, number]>([
    ["", "", 0, 1],
    ["a:b", "", 0, 1],
    ["features", "a:b", 0, 1],
    ["features", "a#b", 0, 1],
    ["features", "a\nb", 0, 1],
    ["features", "a".repeat(201), 0, 1],
    ["features", "", -1, 1],
    ["features", "", 0, 0],
  ])("refuses object %j, annex %j, offset %i, length %i", (object, annex, offset, length) => {
    expect(() => readObjectPiece(object, annex, offset, length)).toThrowError(
      expect.objectContaining({ code: "usage" }),
    );
  });

  it("knows what can stand as an annex", () => {
    expect(["", "target.xml", "64bit-core.xml", "a/b.xml"].map(isAnnex)).toEqual([true, true, true, true]);
    expect(["a:b", "a b", "ä", "a}b", "a*"].map(isAnnex)).toEqual([false, false, false, false, false]);
  });
});

describe("readObject", () => {
  const object = Buffer.from(Array.from({ length: 1000 }, (_, i) => (i * 7) & 0xff));

  it.each([1, 7, 999, 1000, 1001])("puts pieces of %i bytes together", async (most) => {
    const reply = await readObject(stub(object, most), "auxv");
    expect(reply.kind === "ok" && Buffer.from(reply.value).equals(object)).toBe(true);
  });

  it("asks for the next piece where the last one ended", async () => {
    const asked: string[] = [];
    await readObject(stub(object, 300, asked), "features", "target.xml", { pieceLength: 0x200 });
    expect(asked).toEqual([
      "qXfer:features:read:target.xml:0,200",
      "qXfer:features:read:target.xml:12c,200",
      "qXfer:features:read:target.xml:258,200",
      "qXfer:features:read:target.xml:384,200",
    ]);
  });

  it("reads an object of no bytes", async () => {
    const reply = await readObject(scripted(["l"]), "memory-map");
    expect(reply.kind === "ok" && reply.value.length).toBe(0);
  });

  it("passes on that the stub does not have the object, or refuses it", async () => {
    expect(await readObject(scripted([""]), "memory-map")).toEqual({ kind: "unsupported" });
    expect(await readObject(scripted(["E00"]), "features", "nosuch.xml")).toMatchObject({ kind: "error", code: 0 });
    expect(await readObject(scripted(["mab", "E01"]), "auxv")).toMatchObject({ kind: "error", code: 1 });
  });

  it.each<[string, readonly string[]]>([
    ["that does not end", ["mabc"]],
    ["with an empty piece in the middle", ["mabc", "m"]],
    ["with a piece longer than asked for", [`m${"a".repeat(5000)}`]],
    ["that breaks off", ["mabc", ""]],
    ["that is none", ["OK"]],
  ])("raises protocol-error for an object %s", async (_, replies) => {
    await expect(readObject(scripted(replies), "threads")).rejects.toMatchObject({ code: "protocol-error" });
  });

  it("stops asking at its bounds", async () => {
    const asked: string[] = [];
    await expect(readObject(scripted(["mabcd"], asked), "threads", "", { maxBytes: 20 })).rejects.toMatchObject({
      message: "Cannot read the stub's threads: it is longer than 20 bytes",
    });
    expect(asked.length).toBe(6);
    asked.length = 0;
    await expect(readObject(scripted(["ma"], asked), "features", "x.xml", { maxPieces: 7 })).rejects.toMatchObject({
      message: "Cannot read the stub's features x.xml: it does not end",
    });
    expect(asked.length).toBe(7);
  });

  it("reads an object exactly as long as its bounds, and none longer", async () => {
    const exact = await readObject(stub(object, 100), "auxv", "", { maxBytes: 1000, maxPieces: 10 });
    expect(exact.kind).toBe("ok");
    await expect(readObject(stub(object, 100), "auxv", "", { maxBytes: 999 })).rejects.toMatchObject({
      code: "protocol-error",
    });
    await expect(readObject(stub(object, 100), "auxv", "", { maxPieces: 9 })).rejects.toMatchObject({
      code: "protocol-error",
    });
  });
});
