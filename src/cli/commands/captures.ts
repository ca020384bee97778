/** `ebscope captures`: what a bridge has stored, with or without a bridge that runs. */
import { stat } from "node:fs/promises";
import type { CaptureJson } from "../../api/protocol.ts";
import { dataFolder } from "../../base/data-folder.ts";
import { EbscopeError } from "../../base/error.ts";
import { roughSize } from "../../base/hex.ts";
import { systemReason } from "../../base/system-error.ts";
import { plural, printable } from "../../base/text.ts";
import { Captures } from "../../bridge/captures.ts";
import { capturesFolder, type DurableCaptureStore, openCaptureStore } from "../../bridge/store/index.ts";
import { EXIT } from "../exit-code.ts";
import { jsonText, printData, progress } from "../output.ts";
import { style, table } from "../render/style.ts";
import { CREATED_BY } from "../version.ts";

interface FolderFlags {
  readonly data?: string;
  readonly json?: boolean;
}

export interface PruneFlags extends FolderFlags {
  readonly keep?: number;
  /** Days. */
  readonly olderThan?: number;
  /** Bytes. */
  readonly maxSize?: number;
  readonly dryRun?: boolean;
}

/** Lists what is stored, the newest first. With --json it is what `Capture.list` of a bridge answers. */
export async function listCommand(flags: FolderFlags): Promise<number> {
  const store = await openFolder(flags);
  const captures = store === undefined ? [] : await describe(store);
  if (flags.json) printData(jsonText(captures));
  else if (captures.length === 0) progress(`no captures in ${printable(dataFolder(flags.data), 4096)}`);
  else printData(listText(captures, (await store?.room()) ?? 0));
  return EXIT.done;
}

/** Removes captures, the oldest first. */
export async function pruneCommand(flags: PruneFlags): Promise<number> {
  const { keep, olderThan, maxSize, dryRun = false } = flags;
  if (keep === undefined && olderThan === undefined && maxSize === undefined) {
    throw new EbscopeError("usage", "Cannot tell which captures to remove", {
      next: "Give --keep N, --older-than DAYS or --max-size SIZE; with --dry-run nothing is removed.",
    });
  }
  const bounds = {
    ...(keep !== undefined && { count: keep }),
    ...(olderThan !== undefined && { days: olderThan }),
    ...(maxSize !== undefined && { bytes: maxSize }),
  };
  const store = await openFolder(flags);
  const pruned = (await store?.prune(bounds, { dryRun })) ?? { removed: [], kept: 0, freed: 0 };
  if (flags.json) printData(jsonText({ ...pruned, dryRun }));
  else printData(pruneText(pruned, dryRun));
  return EXIT.done;
}

/** Undefined where no bridge has stored anything; a folder that was named and is not there is an error. Nothing is made. */
async function openFolder({ data }: FolderFlags): Promise<DurableCaptureStore | undefined> {
  const folder = dataFolder(data);
  if (data !== undefined && !(await isFolder(folder))) throw unreadable(folder, "no such file or folder");
  const captures = capturesFolder(folder);
  return (await isFolder(captures)) ? openCaptureStore(captures) : undefined;
}

/** False where there is nothing; rejects where there is something else, or nobody knows. */
async function isFolder(path: string): Promise<boolean> {
  const about = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT") return undefined;
    throw unreadable(path, systemReason(cause), cause);
  });
  if (about !== undefined && !about.isDirectory()) throw unreadable(path, "it is no folder");
  return about !== undefined;
}

function unreadable(path: string, why: string, cause?: unknown): EbscopeError {
  return new EbscopeError("file-unreadable", `Cannot look for captures in ${printable(path, 1000)}: ${why}`, { cause });
}

function describe(store: DurableCaptureStore): Promise<CaptureJson[]> {
  // Nothing happens here that could be told of.
  const writer = { tell: async () => undefined, ready: async () => undefined, isHolding: false };
  return new Captures({ store, writer, createdBy: CREATED_BY }).list();
}

function listText(captures: readonly CaptureJson[], room: number): string {
  const rows = captures.map(({ capture, createdAt, size, points, state, error }) => [
    printable(capture, 40),
    printable(createdAt.slice(0, 19).replace("T", " "), 19),
    roughSize(BigInt(size ?? 0)),
    points.map(({ id }) => printable(id, 40)).join(", "),
    stateText(state, error),
  ]);
  const heads = ["capture", "taken (UTC)", "size", "points", "state"].map(style.quiet);
  return [
    ...table([heads, ...rows], ""),
    `${plural(captures.length, "capture")}, ${roughSize(BigInt(room))} on the disk`,
  ].join("\n");
}

function stateText(state: string, error: CaptureJson["error"]): string {
  if (error === null) return state;
  return style.warn(`${state}: ${printable(error.message, 200)} [${printable(error.code, 40)}]`);
}

interface Pruned {
  readonly removed: readonly string[];
  readonly kept: number;
  readonly freed: number;
}

function pruneText({ removed, kept, freed }: Pruned, dryRun: boolean): string {
  const stay = `${plural(kept, "capture")} ${kept === 1 ? "stays" : "stay"}`;
  if (removed.length === 0 && freed <= 0) return `nothing to remove: ${stay}`;
  const verb = dryRun ? "would remove" : "removed";
  const free = `${roughSize(BigInt(Math.max(freed, 0)))} ${dryRun ? "would come" : "came"} free`;
  return [
    ...removed.map((id) => `${verb} ${printable(id, 40)}`),
    `${verb} ${plural(removed.length, "capture")}: ${free}, ${stay}`,
  ].join("\n");
}
