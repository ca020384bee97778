/**
 * The thread list that a stub describes as a document (`qXfer:threads:read`): more of each thread than qfThreadInfo tells, in one read.
 *
 * Source: "Debugging with GDB", appendix E, Thread List Format. gdbserver has it, QEMU has not.
 */
import { bytesOfHex } from "../../base/hex.ts";
import { printable } from "../../base/text.ts";
import { parseThreadId, type ThreadId } from "./thread-id.ts";
import { readXml, unusable, xmlNumber } from "./xml.ts";

/** What the stub says of a thread; undefined where it says nothing usable. Texts are printable and bounded. */
export interface ThreadDescription {
  readonly id: ThreadId;
  /** The processor core it ran on last. */
  readonly core: number | undefined;
  readonly name: string | undefined;
  /** What is shown for its id. */
  readonly shownId: string | undefined;
  readonly handle: Uint8Array | undefined;
  /** Something for people to read. */
  readonly details: string | undefined;
}

const DOCUMENT = "threads";
const MAX_NAME = 256;
const MAX_DETAILS = 1024;
const MAX_HANDLE = 256;

/** The threads in the document's order. Raises `protocol-error` for what is no thread list, or names a thread by no id. */
export function parseThreadList(text: string): readonly ThreadDescription[] {
  const reader = new ThreadListReader();
  readXml(text, DOCUMENT, reader);
  return reader.threads;
}

class ThreadListReader {
  readonly threads: ThreadDescription[] = [];
  #attributes: Readonly<Record<string, string>> | undefined;
  #details = "";

  open(name: string, attributes: Readonly<Record<string, string>>, depth: number): void {
    if (depth !== 1 || name !== "thread") return;
    this.#attributes = attributes;
    this.#details = "";
  }

  text(content: string): void {
    if (this.#attributes !== undefined && this.#details.length < MAX_DETAILS) {
      this.#details += content.slice(0, MAX_DETAILS);
    }
  }

  close(_name: string, depth: number): void {
    if (depth !== 1 || this.#attributes === undefined) return;
    this.threads.push(thread(this.#attributes, this.#details.trim()));
    this.#attributes = undefined;
  }
}

function thread(attributes: Readonly<Record<string, string>>, details: string): ThreadDescription {
  const id = parseThreadId(attributes.id ?? "");
  if (id === undefined || id.thread === "all") throw unusable(DOCUMENT, "a thread has no usable id");
  const core = xmlNumber(attributes.core);
  return {
    id,
    core: core !== undefined && core <= 0xffff_ffffn ? Number(core) : undefined,
    name: shown(attributes.name),
    shownId: shown(attributes.id_str),
    handle: handle(attributes.handle),
    details: details === "" ? undefined : printable(details, MAX_DETAILS),
  };
}

function shown(text: string | undefined): string | undefined {
  return text === undefined ? undefined : printable(text, MAX_NAME);
}

function handle(text: string | undefined): Uint8Array | undefined {
  return text === undefined || text === "" || text.length > 2 * MAX_HANDLE ? undefined : bytesOfHex(text);
}
