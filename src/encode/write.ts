/** One recorded write as JSON, as it is told while it happens. */
import { systemNameOf } from "../aarch64/registers/encodings.ts";
import type { WriteJson } from "../api/events.ts";
import { type VirtAddr, virt } from "../base/address.ts";
import { hex } from "../base/hex.ts";
import { imageAt, imageOffsetText, type LoadedImage } from "../efi/images.ts";
import type { BlameEvent, BlameKind, WatchedRange } from "../snapshot/blame.ts";
import { orNull } from "./walks.ts";

/** What a write is told with. */
export interface WriteSurroundings {
  /** Index of the event in the record. */
  readonly event: number;
  readonly ranges: readonly WatchedRange[];
  /** Those that can be where the instruction is. */
  readonly images: readonly LoadedImage[];
}

/** Of what was written, seen or not. */
const KINDS: Partial<Record<BlameKind, WriteJson["kind"]>> = {
  table: "table",
  "unseen-table": "table",
  memory: "memory",
  "unseen-memory": "memory",
  register: "register",
  "unseen-register": "register",
  maintenance: "maintenance",
};

/** Undefined for what is no write: points, tables that were found, lapses. */
export function encodeWrite(written: BlameEvent, { event, ranges, images }: WriteSurroundings): WriteJson | undefined {
  const kind = KINDS[written.kind];
  if (kind === undefined) return undefined;
  const { cpu, pc, address } = written;
  const image = pc === undefined ? undefined : imageAt(images, pc);
  return {
    ...{ event, kind, cpu, pc: orNull(pc) },
    address: kind === "table" || kind === "memory" ? hex(address) : null,
    ...{ old: orNull(written.old), new: orNull(written.new) },
    name: nameOf(kind, address, ranges),
    image: image === undefined || pc === undefined ? null : imageOffsetText(image, pc),
  };
}

function nameOf(kind: WriteJson["kind"], address: bigint, ranges: readonly WatchedRange[]): string | null {
  if (kind === "table") return null;
  if (kind === "memory") return ranges.find((range) => isIn(range, virt(address)))?.name ?? null;
  return systemNameOf(Number(address));
}

/** Whether a range has a byte of a doubleword. */
function isIn({ address, length }: WatchedRange, doubleword: VirtAddr): boolean {
  return doubleword + 8n > address && doubleword < address + BigInt(length);
}
