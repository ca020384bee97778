import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, it } from "vitest";
import { type HostSpan, pread, readHost } from "../../../src/target/memory/host-reader.ts";
import { Random } from "../../support/random.ts";

const byteAt = (fd: number, position: number): number => (position * 31 + Math.floor(position / 256) + fd * 97) % 256;

/** Files without end, whose reads are counted. */
function files() {
  const reads: { fd: number; position: number; length: number }[] = [];
  const read = (fd: number, into: Uint8Array, position: number): number => {
    reads.push({ fd, position, length: into.length });
    for (let i = 0; i < into.length; i++) into[i] = byteAt(fd, position + i);
    return into.length;
  };
  return { reads, read };
}

function expected({ fd, position, length }: HostSpan): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => byteAt(fd, position + i));
}

function bytesOf(result: ReturnType<typeof readHost>): readonly Uint8Array[] {
  if (!result.ok) throw new Error(result.why);
  return result.bytes;
}

describe("readHost", () => {
  it("makes one read of spans that lie next to each other, in whatever order they are asked for", () => {
    const { read, reads } = files();
    const spans = [8192, 0, 4096, 12288].map((position) => ({ fd: 3, position, length: 4096 }));
    expect(bytesOf(readHost(read, spans)).map((bytes) => Buffer.from(bytes))).toEqual(
      spans.map((span) => Buffer.from(expected(span))),
    );
    expect(reads).toEqual([{ fd: 3, position: 0, length: 16384 }]);
  });

  it("reads spans apart that leave a gap, overlap or lie in different files", () => {
    const { read, reads } = files();
    const spans = [
      { fd: 3, position: 0, length: 100 },
      { fd: 3, position: 101, length: 100 },
      { fd: 3, position: 150, length: 100 },
      { fd: 4, position: 250, length: 100 },
    ];
    expect(bytesOf(readHost(read, spans)).map((bytes) => Buffer.from(bytes))).toEqual(
      spans.map((span) => Buffer.from(expected(span))),
    );
    expect(reads).toHaveLength(4);
  });

  it("gives any mix of spans its own bytes", () => {
    const random = new Random(20);
    for (let round = 0; round < 200; round++) {
      const spans = Array.from({ length: random.between(1, 40) }, () => ({
        fd: random.between(3, 4),
        position: random.below(60) * 8 + random.below(3),
        length: random.pick([1, 7, 8, 16, 24]),
      }));
      const bytes = bytesOf(readHost(files().read, spans));
      spans.forEach((span, i) => {
        expect(Buffer.from(bytes[i] as Uint8Array)).toEqual(Buffer.from(expected(span)));
      });
    }
  });

  it("aligns bytes as the file does, so that words can be looked at as words", () => {
    const spans = [5, 13, 4096, 8195].map((position) => ({ fd: 3, position, length: 8 }));
    expect(bytesOf(readHost(files().read, spans)).map(({ byteOffset }) => byteOffset % 8)).toEqual([5, 5, 0, 3]);
  });

  it("gives two who ask for the same bytes a copy each", () => {
    const span = { fd: 3, position: 0, length: 16 };
    const [one, other] = bytesOf(readHost(files().read, [span, span]));
    one?.fill(0xee);
    expect(Buffer.from(other as Uint8Array)).toEqual(Buffer.from(expected(span)));
  });

  it("reads nothing when nothing is asked for", () => {
    const { read, reads } = files();
    expect(readHost(read, [])).toEqual({ ok: true, bytes: [] });
    expect(reads).toEqual([]);
  });

  it.each([
    ["came short", 4095, "a read came short"],
    ["found nothing", 0, "there is nothing to read any more"],
  ])("fails as a whole when a read %s", (_, came, why) => {
    expect(readHost(() => came, [{ fd: 3, position: 0, length: 4096 }])).toEqual({ ok: false, why });
  });

  it("tells the system's code when a read failed", () => {
    const read = (): number => {
      throw Object.assign(new Error("EIO: i/o error, read"), { code: "EIO" });
    };
    expect(readHost(read, [{ fd: 3, position: 0, length: 1 }])).toEqual({ ok: false, why: "reading it failed (EIO)" });
  });
});

describe("pread", () => {
  const cleanup: (() => void)[] = [];
  afterEach(() => {
    for (const undo of cleanup.splice(0).reverse()) undo();
  });

  function fileOf(bytes: Uint8Array): number {
    const folder = mkdtempSync(join(tmpdir(), "host-reader-"));
    cleanup.push(() => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, "f"), bytes);
    const fd = openSync(join(folder, "f"), "r");
    cleanup.push(() => closeSync(fd));
    return fd;
  }

  it("reads at a position of a real file, and short at its end", () => {
    const fd = fileOf(Uint8Array.from({ length: 100 }, (_, i) => i));
    const into = new Uint8Array(10);
    expect(pread(fd, into, 40)).toBe(10);
    expect([...into]).toEqual([40, 41, 42, 43, 44, 45, 46, 47, 48, 49]);
    expect(pread(fd, into, 95)).toBe(5);
    expect(pread(fd, into, 100)).toBe(0);
  });
});
