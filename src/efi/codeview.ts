/**
 * What ties an image to the files it was built from: the CodeView record of its debug directory, or a GNU build id.
 *
 * Source: "PE Format" specification, "Debug Directory (Image Only)": entries of 28 bytes with the type at 12 (2: CodeView), the size at 16
 * and the RVA at 20. CodeView records: `RSDS` {GUID at 4, age at 20, path at 24}, `NB10` {offset, time stamp at 8, age at 12, path at 16};
 * edk2 (PeImage.h) adds `MTOC` for Mach-O {UUID at 4, path at 20}. ELF gABI, "Note Section": {namesz, descsz, type, name, desc}, each
 * padded to 4 bytes; name `GNU`, type 3 is NT_GNU_BUILD_ID. Guest data: bounded and checked.
 */
import type { Structure } from "./bytes.ts";

export interface CodeView {
  readonly kind: "RSDS" | "NB10" | "MTOC";
  /** RSDS: GUID in its text form; MTOC: UUID, 32 hexadecimal digits. Undefined for NB10 and when it is all zero. */
  readonly id: string | undefined;
  /** How often the symbols were rewritten; undefined for MTOC. */
  readonly age: number | undefined;
  /** The build path, as it stands there; undefined when empty. */
  readonly path: string | undefined;
}

const ENTRY_SIZE = 28;
const CODEVIEW = 2;
const MAX_PATH = 400;
/** A record with a path of the greatest length. */
export const CODEVIEW_RECORD_SIZE = 24 + MAX_PATH + 16;

/** Where the CodeView record lies, from the image base; undefined when the directory names none. */
export function codeViewOffset(directory: Structure): number | undefined {
  for (let at = 0; directory.has(at, ENTRY_SIZE); at += ENTRY_SIZE) {
    const offset = directory.u32(at + 20);
    if (directory.u32(at + 12) === CODEVIEW && offset !== 0) return offset;
  }
  return undefined;
}

const HEADS = { RSDS: 24, NB10: 16, MTOC: 20 } as const;

/** Parses a CodeView record; undefined when it is of no kind that is known. */
export function parseCodeView(record: Structure): CodeView | undefined {
  const kind = record.has(0, 4) ? (record.ascii(0, 4) as CodeView["kind"]) : undefined;
  const head = kind !== undefined && Object.hasOwn(HEADS, kind) ? HEADS[kind] : undefined;
  if (kind === undefined || head === undefined || !record.has(0, head)) return undefined;
  const path = record.ascii(head, MAX_PATH);
  return { kind, ...identityOf(kind, record), path: path === "" ? undefined : path };
}

function identityOf(kind: CodeView["kind"], record: Structure): Pick<CodeView, "id" | "age"> {
  const given = record.bytes.subarray(4, 20).some((byte) => byte !== 0);
  switch (kind) {
    case "RSDS":
      return { id: given ? record.guid(4) : undefined, age: record.u32(20) };
    case "MTOC":
      return { id: given ? hexText(record.bytes.subarray(4, 20)) : undefined, age: undefined };
    case "NB10":
      return { id: undefined, age: record.u32(12) };
  }
}

function hexText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("hex");
}

/** Enough for the notes in front of the build id, and for it. */
export const NOTES_SIZE = 512;
const MAX_BUILD_ID = 64;

/** The GNU build id in a section of notes, in hexadecimal digits; undefined when there is none. */
export function buildIdIn(notes: Structure): string | undefined {
  for (let at = 0; notes.has(at, 12); ) {
    const [nameSize, size, type] = [notes.u32(at), notes.u32(at + 4), notes.u32(at + 8)];
    const data = at + 12 + padded(nameSize);
    if (!notes.has(data, size)) return undefined;
    const isBuildId = type === 3 && nameSize === 4 && notes.ascii(at + 12, 4) === "GNU";
    if (isBuildId && size > 0 && size <= MAX_BUILD_ID) return hexText(notes.bytes.subarray(data, data + size));
    at = data + padded(size);
  }
  return undefined;
}

function padded(size: number): number {
  return Math.ceil(size / 4) * 4;
}
