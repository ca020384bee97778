/** `--record` and `--pcap`: the files that a session is recorded in. */
import { resolve } from "node:path";
import { EbscopeError } from "../base/error.ts";
import { PcapTap } from "../rsp/pcap.ts";
import { RecordFile } from "../rsp/record-file.ts";
import type { Tap } from "../rsp/tap.ts";
import { TranscriptTap } from "../rsp/transcript.ts";
import { parseStubAddress, type StubAddress, stubAddressText } from "../rsp/transport.ts";
import { printError } from "./output.ts";
import { CREATED_BY } from "./version.ts";

export interface RecordFlags {
  readonly gdb?: string;
  readonly out?: string;
  readonly record?: string;
  readonly pcap?: string;
}

export interface Recording {
  /** What to attach with. The files are closed when that session ends. */
  tapsFor(address: StubAddress): readonly Tap[];
  /** Closes them also when there never was a session. */
  close(): void;
}

/** Creates the files before anything is asked of a guest. Throws `usage` or `file-unwritable`. */
export function openRecording(flags: RecordFlags, options: string): Recording {
  refuseSharedFiles(flags);
  const open = (path: string | undefined): RecordFile | undefined =>
    path === undefined ? undefined : new RecordFile(path, printError);
  const transcript = open(flags.record);
  const pcap = open(flags.pcap);
  return {
    tapsFor: (address) => [
      ...(transcript === undefined ? [] : [transcriptTap(transcript, address, options)]),
      ...(pcap === undefined ? [] : [new PcapTap(pcap, address.kind === "tcp" ? address.port : undefined)]),
    ],
    close: () => {
      transcript?.close();
      pcap?.close();
    },
  };
}

function transcriptTap(file: RecordFile, address: StubAddress, options: string): Tap {
  return new TranscriptTap(file, { createdBy: CREATED_BY, address: stubAddressText(address), options });
}

/** Opening empties a file: not one that is read, or written by somebody else here. */
function refuseSharedFiles({ gdb, out, record, pcap }: RecordFlags): void {
  const replayed = gdb?.startsWith("replay:") ? parseStubAddress(gdb) : undefined;
  const others = [out, replayed?.kind === "replay" ? replayed.path : undefined];
  for (const [flag, path] of [["--record", record] as const, ["--pcap", pcap] as const]) {
    if (path === "") throw new EbscopeError("usage", `Cannot record the session: ${flag} names no file`);
    if (path !== undefined && others.some((other) => other !== undefined && resolve(other) === resolve(path))) {
      throw new EbscopeError(
        "usage",
        `Cannot record the session: ${flag} names a file that is used for something else`,
      );
    }
    others.push(path);
  }
}
