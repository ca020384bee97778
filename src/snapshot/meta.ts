/**
 * The description inside an `.ebs` file: its JSON Schema and its type, from one source.
 *
 * Written as plain JSON Schema, since building it with TypeBox's constructors costs every command a third of a second.
 */
import type { Static } from "typebox";
import { POINT_KINDS } from "./model.ts";

export const hexText = { type: "string", pattern: "^0x[0-9a-f]{1,16}$" } as const;
export const count = { type: "integer", minimum: 0, maximum: 9_007_199_254_740_991 } as const;
const counts = { type: "array", items: count } as const;
/** The longest text, in characters. */
export const MAX_TEXT = 4096;
export const text = { type: "string", maxLength: MAX_TEXT } as const;
const texts = { type: "array", items: text } as const;

const memoryRange = {
  type: "object",
  required: ["start", "size", "kind", "name"],
  properties: { start: hexText, size: hexText, kind: { enum: ["ram", "rom"] }, name: text },
} as const;

/** Most images that a point can have beside the firmware's. */
export const MAX_FOUND_IMAGES = 64;

const foundImage = {
  type: "object",
  required: ["base", "physical", "size"],
  properties: { base: hexText, physical: hexText, size: hexText },
} as const;

const point = {
  type: "object",
  required: [
    "id",
    "kind",
    "time",
    "cpu",
    "registers",
    "memoryRanges",
    "present",
    "absent",
    "unreadable",
    "codes",
    "complete",
  ],
  properties: {
    id: { type: "string", pattern: "^[a-z0-9-]{1,40}$" },
    kind: { enum: POINT_KINDS },
    time: text,
    cpu: count,
    /** A row a vCPU: hex digits of the bytes in the stub's order; "-" unavailable, "?" unreadable. */
    registers: {
      type: "array",
      items: { type: "array", items: { type: "string", pattern: "^([0-9a-f]*|-|\\?)$" } },
    },
    memoryRanges: { type: "array", items: memoryRange },
    /** Pairs: page number, index into the pages of the file. */
    present: counts,
    /** Pairs: page number, index into `codes`. */
    absent: counts,
    unreadable: counts,
    codes: texts,
    /** Newer than version 1's first files. */
    images: { type: "array", items: foundImage, maxItems: MAX_FOUND_IMAGES },
    complete: { type: "boolean" },
  },
} as const;

const register = {
  type: "object",
  required: ["name", "stubName", "number", "bits", "feature"],
  properties: { name: text, stubName: text, number: count, bits: count, feature: text },
} as const;

const attempt = {
  type: "object",
  required: ["imageHandle", "mapKey", "returnAddress", "status"],
  properties: {
    imageHandle: hexText,
    mapKey: hexText,
    returnAddress: hexText,
    status: { anyOf: [hexText, { type: "null" }] },
  },
} as const;

const efi = {
  type: "object",
  required: ["systemTable", "bootServices", "exitBootServices"],
  properties: { systemTable: hexText, bootServices: hexText, exitBootServices: hexText },
} as const;

const memoryMap = {
  type: "object",
  required: ["address", "size", "descriptorSize", "descriptorVersion", "mapKey", "caller"],
  properties: {
    address: hexText,
    size: hexText,
    descriptorSize: hexText,
    descriptorVersion: { type: "integer", minimum: 0, maximum: 0xffff_ffff },
    mapKey: hexText,
    caller: hexText,
  },
} as const;

export const MAX_SYMBOL_PATHS = 64;
export const MAX_SYMBOL_FILES = 1024;
const textOrNull = { anyOf: [text, { type: "null" }] } as const;

const usedSymbols = {
  type: "object",
  required: ["path", "size", "buildId", "image"],
  properties: { path: text, size: count, buildId: textOrNull, image: textOrNull },
} as const;

const symbols = {
  type: "object",
  required: ["paths", "files"],
  properties: {
    paths: { type: "array", items: text, maxItems: MAX_SYMBOL_PATHS },
    files: { type: "array", items: usedSymbols, maxItems: MAX_SYMBOL_FILES },
  },
} as const;

const partial = { type: "object", required: ["code", "message"], properties: { code: text, message: text } } as const;

/** Points of a capture, and rows of registers of all its points together: what is made of them has to fit into memory. */
export const MAX_POINTS = 4096;
export const MAX_ROWS = 65_536;

/** Points that a capture of so many vCPUs may have. */
export function mostPoints(vcpus: number): number {
  return Math.min(MAX_POINTS, Math.floor(MAX_ROWS / Math.max(vcpus, 1)));
}

export const META_SCHEMA = {
  type: "object",
  required: [
    "format",
    "createdAt",
    "createdBy",
    "qemuVersion",
    "architecture",
    "threads",
    "registers",
    "efi",
    "attempts",
    "points",
    "notes",
    "partial",
  ],
  properties: {
    format: { const: "ebscope capture" },
    createdAt: text,
    createdBy: text,
    qemuVersion: { anyOf: [text, { type: "null" }] },
    architecture: text,
    threads: { type: "array", items: text, minItems: 1, maxItems: 4096 },
    registers: { type: "array", items: register, maxItems: 65536 },
    efi: { anyOf: [efi, { type: "null" }] },
    attempts: { type: "array", items: attempt },
    points: { type: "array", items: point, maxItems: MAX_POINTS },
    notes: texts,
    /** Newer than version 1's first files, both of them. */
    memoryMap: { anyOf: [memoryMap, { type: "null" }] },
    symbols: { anyOf: [symbols, { type: "null" }] },
    partial: { anyOf: [partial, { type: "null" }] },
  },
} as const;

export type Meta = Static<typeof META_SCHEMA>;
export type MetaPoint = Meta["points"][number];
