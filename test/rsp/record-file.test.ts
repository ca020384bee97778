/** A disk that takes less than it is given, and one that is full; and a program that crashes. */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { afterEach, describe, expect, it, vi } from "vitest";
import type { EbscopeError } from "../../src/base/error.ts";
import { RecordFile } from "../../src/rsp/record-file.ts";
import { TranscriptTap } from "../../src/rsp/transcript.ts";
import { readTranscriptText, temporaryFile } from "../support/transcript-text.ts";

const disk = vi.hoisted(() => ({ room: Number.POSITIVE_INFINITY, atOnce: Number.POSITIVE_INFINITY }));

vi.mock("node:fs", async (original) => {
  const fs = await original<typeof import("node:fs")>();
  const writeSync = (descriptor: number, bytes: Uint8Array, offset = 0): number => {
    const length = Math.min(bytes.length - offset, disk.atOnce, disk.room);
    if (length === 0) throw Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
    disk.room -= length;
    return fs.writeSync(descriptor, bytes, offset, length);
  };
  return { ...fs, writeSync };
});

afterEach(() => {
  disk.room = Number.POSITIVE_INFINITY;
  disk.atOnce = Number.POSITIVE_INFINITY;
});

describe("the file of a recording", () => {
  it("is whole although the disk takes a little at once", () => {
    using file = temporaryFile();
    disk.atOnce = 3;
    const record = new RecordFile(file.path, (error) => {
      throw error;
    });
    record.append(Buffer.from("0123456789"));
    record.append(Buffer.from("abc"));
    record.close();
    expect(file.bytes().toString()).toBe("0123456789abc");
  });

  it("ends where the disk is full: that is told once, and nothing else happens", () => {
    using file = temporaryFile();
    const told: EbscopeError[] = [];
    disk.room = 100;
    const record = new RecordFile(file.path, (error) => told.push(error));
    for (let i = 0; i < 50; i++) record.append(Buffer.alloc(1 << 20, "x"));
    expect(record.closed).toBe(true);
    record.append(Buffer.from("more"));
    record.close();
    expect(told.map(({ code }) => code)).toEqual(["file-unwritable"]);
    expect(told[0]?.message).toMatch(/^Cannot go on recording the session in .*: the disk is full$/);
    expect(file.bytes().length).toBe(100);
  });

  it("that is full leaves a transcript's session alone", () => {
    using file = temporaryFile();
    const told: EbscopeError[] = [];
    disk.room = 300;
    const tap = new TranscriptTap(new RecordFile(file.path, (error) => told.push(error)), {
      createdBy: "",
      address: "",
    });
    for (let i = 0; i < 300; i++) tap.bytes("received", Buffer.alloc(8192, "$x#"), i);
    tap.ended({ by: "client" }, 300);
    expect(told).toHaveLength(1);
  });

  it("keeps what came so far when the program crashes", () => {
    using file = temporaryFile();
    const script = `${file.path}.ts`;
    const source = (path: string): string =>
      JSON.stringify(fileURLToPath(new URL(`../../src/rsp/${path}`, import.meta.url)));
    writeFileSync(
      script,
      `import { RecordFile } from ${source("record-file.ts")};
       import { TranscriptTap } from ${source("transcript.ts")};
       const tap = new TranscriptTap(new RecordFile(process.argv[2], () => {}), { createdBy: "", address: "" });
       tap.bytes("received", Buffer.from("$boom#00"), performance.now());
       throw new Error("a defect");`,
    );
    const root = fileURLToPath(new URL("../..", import.meta.url));
    const run = () =>
      execFileSync(process.execPath, ["--import", "tsx", script, file.path], { cwd: root, stdio: "pipe" });
    expect(run).toThrow(/a defect/);
    expect(readTranscriptText(file.bytes().toString("latin1"))).toMatchObject({ received: "$boom#00", end: undefined });
  });
});
