/** A reader of the part `BLAM` written from docs/capture-format.md alone: it knows nothing of how ebscope reads it. */
import { inflateSync } from "node:zlib";

const KINDS = [
  ...["point", "table", "memory", "register", "maintenance"],
  ...["table-found", "unseen-table", "unseen-memory", "unseen-register", "lapse", "use"],
];

type Row = Record<string, bigint>;

/** The chunks of a file by type. */
export function chunksOf(file: Buffer): Map<string, Buffer> {
  const chunks = new Map<string, Buffer>();
  for (let at = 16; at < file.length; ) {
    const length = file.readUInt32LE(at + 4);
    chunks.set(file.toString("latin1", at, at + 4), file.subarray(at + 12, at + 12 + length));
    at += 12 + length;
  }
  return chunks;
}

/** The record in a file, with its pages; undefined where it has none. */
export function readBlame(file: Buffer) {
  const chunks = chunksOf(file);
  const blam = chunks.get("BLAM");
  const stored = chunks.get("PAGE");
  if (blam === undefined || stored === undefined) return undefined;
  const pages = inflateSync(stored.subarray(4));
  const page = (row: Row): Buffer => pages.subarray(Number(row.index) * 4096, Number(row.index) * 4096 + 4096);
  const [e, s, w, i, t, c, j] = Array.from({ length: 7 }, (_, n) => blam.readUInt32LE(n * 4)) as [
    ...[number, number, number, number],
    ...[number, number, number],
  ];
  const block = inflateSync(blam.subarray(28));
  let at = 0;
  const table = (rows: number, columns: readonly (readonly [string, number])[]): Row[] => {
    const list: Row[] = Array.from({ length: rows }, () => ({}));
    for (const [name, width] of columns) {
      for (const [r, row] of list.entries()) {
        row[name] = 0n;
        for (let b = 0; b < width; b++) row[name] += BigInt(block[at + r + rows * b] as number) * 256n ** BigInt(b);
      }
      at += rows * width;
    }
    return list;
  };
  const events = table(e, [
    ...([
      ["kind", 1],
      ["parts", 1],
      ["cpu", 2],
      ["stop", 6],
      ["word", 4],
      ["stack", 4],
    ] as const),
    ...([
      ["pc", 8],
      ["address", 8],
      ["old", 8],
      ["new", 8],
    ] as const),
  ]);
  const stacks = table(s, [
    ["sp", 8],
    ["fp", 8],
    ["lr", 8],
    ["cpsr", 8],
    ["count", 2],
  ]);
  const words = table(w, [["word", 8]]).map(({ word }) => word);
  const sites = table(i, [
    ["address", 8],
    ["word", 4],
  ]);
  const contents = table(t, [["index", 4]]);
  const code = table(c, [
    ["address", 8],
    ["index", 4],
  ]);
  if (block.length !== at + j) throw new Error(`${block.length} bytes, not ${at + j}`);
  return {
    ...JSON.parse(block.toString("utf8", at)),
    events: events.map(({ parts, ...row }) => ({
      kind: KINDS[Number(row.kind)],
      stop: Number(row.stop),
      cpu: Number(row.cpu),
      address: row.address,
      pc: has(parts, 1) ? row.pc : undefined,
      word: has(parts, 2) ? Number(row.word) : undefined,
      old: has(parts, 4) ? row.old : undefined,
      new: has(parts, 8) ? row.new : undefined,
      stack: has(parts, 16) ? Number(row.stack) : undefined,
    })),
    stacks: stacks.map(({ count, ...stack }) => ({ ...stack, words: words.splice(0, Number(count)) })),
    sites: sites.map(({ address, word }) => ({ address, word: Number(word) })),
    contents: contents.map(page),
    code: new Map(code.map((row) => [row.address, page(row)])),
  };
}

function has(parts: bigint | undefined, part: number): boolean {
  return (Number(parts) & part) !== 0;
}
