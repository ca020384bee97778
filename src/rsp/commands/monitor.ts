/**
 * `qRcmd`: a command for the stub's own interpreter, QEMU's human monitor.
 *
 * Source: "Debugging with GDB", appendix E, General Query Packets. The command goes out in hex; its output comes back in hex, as `O` packets
 * before the final reply, or as the final reply itself, which is `OK` when there is no more to say. A command that the interpreter does
 * not know is told in the output, not by an error.
 *
 * Quirks: QEMU sends a line a packet with `\r\n` at its end, and runs nothing, with `OK`, when the hex is none. gdbserver cuts lines anywhere,
 * and ends the output for a command it does not know with an error. A character of several bytes may be cut between two packets, so
 * the bytes are put together first.
 */
import { bytesOfHex } from "../../base/hex.ts";
import { latin1, printable } from "../../base/text.ts";
import { type Command, decodeReply, type Reply } from "../command.ts";
import { badArgument, isOk } from "./wire.ts";

export interface MonitorOutput {
  /** Lines end in `\n`; control characters other than that and tabs stand as visible escapes. */
  readonly text: string;
  /** There was more than the bound; the text is its beginning. */
  readonly truncated: boolean;
}

/** More than `info mtree -f` of any machine. */
const DEFAULT_MAX_BYTES = 4 << 20;

/**
 * One run of a monitor command; `maxBytes` bounds the output that is kept. The value collects the output of its run, so it is to be sent
 * once: build another for the next run.
 */
export function monitorCommand(line: string, maxBytes: number = DEFAULT_MAX_BYTES): Command<MonitorOutput> {
  if (line === "") throw badArgument("the monitor command is empty");
  const output = new Output(maxBytes);
  return {
    payload: `qRcmd,${Buffer.from(line).toString("hex")}`,
    label: () => `monitor ${printable(line, 60)}`,
    onOutput: (hexText) => output.add(hexText),
    decode: (reply) => output.finish(reply),
  };
}

class Output {
  readonly #maxBytes: number;
  #parts: Uint8Array[] = [];
  #length = 0;
  #truncated = false;
  #unreadable = false;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  add(hexText: string): void {
    const room = this.#maxBytes - this.#length;
    this.#truncated ||= hexText.length > 2 * room;
    const kept = hexText.length > 2 * room ? hexText.slice(0, 2 * room) : hexText;
    if (kept === "") return;
    const bytes = bytesOfHex(kept);
    this.#unreadable ||= bytes === undefined;
    this.#parts.push(bytes ?? new Uint8Array());
    this.#length += bytes?.length ?? 0;
  }

  finish(reply: Uint8Array): Reply<MonitorOutput> {
    const decoded = decodeReply(reply, (bytes) => this.#value(bytes));
    this.#parts = [];
    this.#length = 0;
    this.#truncated = false;
    this.#unreadable = false;
    return decoded;
  }

  #value(reply: Uint8Array): MonitorOutput | undefined {
    if (!isOk(reply)) this.add(latin1(reply));
    if (this.#unreadable) return undefined;
    return { text: consoleText(Buffer.concat(this.#parts).toString()), truncated: this.#truncated };
  }
}

function consoleText(text: string): string {
  // Without the look behind, a run of \r would be gone through from each of its characters.
  const lines = text.split(/(?<!\r)\r*\n/);
  return lines.map((line) => line.split("\t").map(plain).join("\t")).join("\n");
}

function plain(text: string): string {
  return printable(text, text.length);
}
