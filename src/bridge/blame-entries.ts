/** What `ebscope blame FILE --json` prints, of a capture of the bridge's: all of it or what tells of one thing, as much as an answer may be. */
import { setImmediate } from "node:timers/promises";
import type { BlameEntryJson } from "../api/blame.ts";
import type { Params } from "../api/protocol.ts";
import { EbscopeError } from "../base/error.ts";
import { parseInteger } from "../base/hex.ts";
import { printable } from "../base/text.ts";
import type { StudiedBlame } from "../diagnose/blame/studied.ts";
import { type BlameSubject, eventsOf, subjectNamed } from "../diagnose/blame/subject.ts";
import type { Study } from "../diagnose/study.ts";
import { encodeBlame } from "../encode/blame.ts";

export type BlameChoice = Omit<Params<"Capture.blame">, "capture">;

/** Events, and characters of JSON, in one answer. */
const MAX_ENTRIES = 50_000;
const MAX_LENGTH = 32 << 20;
/** Entries that are made before others have their turn. */
const AT_ONCE = 256;

/** Raises `no-blame`, `usage` and `answer-too-large`. */
export async function blameEntries(study: Study, choice: BlameChoice): Promise<BlameEntryJson[]> {
  const { blame } = study;
  if (blame === undefined) throw new EbscopeError("no-blame", "Cannot tell who wrote: the capture has no record of it");
  const subject = subjectOf(study, blame, choice);
  if (eventsOf(blame, subject).length > MAX_ENTRIES) throw tooLarge();
  const entries: BlameEntryJson[] = [];
  let length = 0;
  for (const entry of await encodeBlame(blame, subject)) {
    length += JSON.stringify(entry).length;
    if (length > MAX_LENGTH) throw tooLarge();
    if (entries.push(entry) % AT_ONCE === 0) await setImmediate();
  }
  return entries;
}

function subjectOf({ capture }: Study, blame: StudiedBlame, { what, regime, cpu }: BlameChoice): BlameSubject {
  if (cpu !== undefined && cpu >= capture.threads.length) {
    throw new EbscopeError("usage", `Cannot look at vCPU ${cpu}: the capture has ${capture.threads.length}, from 0 on`);
  }
  if (what === undefined) {
    if (regime === undefined && cpu === undefined) return { kind: "all" };
    throw new EbscopeError("usage", "Cannot look at a regime or vCPU alone: they go with `what`");
  }
  const named = subjectNamed(blame, capture, what);
  if (named?.kind === "register") return { ...named, cpu };
  if (named !== undefined) return named;
  const va = parseInteger(what);
  if (va !== undefined) return { kind: "address", va, regime, cpu };
  const text = JSON.stringify(printable(what, 80));
  throw new EbscopeError("usage", `Cannot tell what ${text} is: no register, no watched range and no address`, {
    next: "Give a register (SCTLR_EL1), a range as it was watched (gBS+0xe8), or an address (0x40000000).",
  });
}

function tooLarge(): EbscopeError {
  return new EbscopeError("answer-too-large", "Cannot send all that was recorded: it is more than an answer may be", {
    next: "Ask for one address, register or range (`what`), or for the capture's file.",
  });
}
