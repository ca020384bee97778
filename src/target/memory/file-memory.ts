/**
 * Guest RAM out of the file behind QEMU's `-object memory-backend-file,…,share=on`.
 *
 * Source: QEMU's qemu-options.hx on memory-backend-file, hw/core/numa and backends/hostmem-file.c for the properties: `mem-path`, `share`
 * (without it the guest writes to a private copy), `size`, `offset` (from 8.1 on). The memory region of a backend has the backend's id as its
 * name, or `/objects/ID` where a machine wants canonical names; `qom-get /objects/ID PROPERTY` prints a property as JSON, else `Error: …`.
 *
 * The path is a claim of the stub's: it may name anything that this user can open. So it is looked at before it is opened, because opening
 * a device can do things by itself; only a regular file is, without blocking; and it is looked at again when it is open. Opening has a time
 * limit, for a file system that does not answer. Nothing in the file is believed, or shown to anyone, before it agrees with the stub
 * (trust.ts).
 *
 * A file that was opened is kept: QEMU has it mapped, so one that is made later under the same name is another.
 */
import { close, closeSync, constants, fstat, open, type Stats, stat } from "node:fs";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { printable } from "../../base/text.ts";
import type { TreeRange } from "../memory-map.ts";
import { type HostSource, type HostWindow, isPosition, type Located, type Monitor } from "./channel.ts";

const OPEN_MS = 2000;
const MAX_PATH = 4096;

export class FileMemory implements HostSource {
  readonly kind = "file";
  readonly #monitor: Monitor;
  /** By path: what is open, or why it is not. */
  readonly #files = new Map<string, Promise<OpenFile | { readonly why: string }>>();
  readonly #open = new Map<string, OpenFile>();

  constructor(monitor: Monitor) {
    this.#monitor = monitor;
  }

  get name(): string {
    return [...this.#open.keys()].map((path) => printable(path)).join(", ") || "a file";
  }

  async locate(ranges: readonly TreeRange[]): Promise<Located> {
    const ram = ranges.filter(({ kind }) => kind === "ram");
    const names = [...new Set(ram.map(({ name }) => name))];
    const backends = new Map(await Promise.all(names.map(async (name) => [name, await this.#backend(name)] as const)));
    const windows: HostWindow[] = [];
    let why = "the guest has no RAM";
    for (const range of ram) {
      const backend = backends.get(range.name) ?? { why };
      const window = "why" in backend ? backend : windowIn(range, backend);
      if ("why" in window) why = window.why;
      else windows.push(window);
    }
    return { windows, why };
  }

  /** The file behind the region of this name. */
  async #backend(name: string): Promise<Backend | { readonly why: string }> {
    const id = /^(?:\/objects\/)?([A-Za-z][\w.-]*)$/.exec(name)?.[1];
    const path = id === undefined ? undefined : await this.#property(id, "mem-path");
    if (typeof path !== "string" || path === "" || path.length > MAX_PATH || path.includes("\0")) {
      return { why: `${printable(name, 40)} is no memory-backend-file` };
    }
    const [share, size, offset] = await Promise.all([
      this.#property(id as string, "share"),
      this.#property(id as string, "size"),
      this.#property(id as string, "offset"),
    ]);
    if (share !== true) return { why: `${printable(name, 40)} is not shared with its file (share=on)` };
    if (!isCount(size) || !(offset === undefined || isCount(offset))) {
      return { why: `the size and offset of ${printable(name, 40)} cannot be used` };
    }
    const file = await this.#fileAt(path);
    return "why" in file ? file : { file, offset: offset ?? 0, size };
  }

  async #property(id: string, name: string): Promise<unknown> {
    const answer = await this.#monitor(`qom-get /objects/${id} ${name}`);
    try {
      return JSON.parse(answer ?? "");
    } catch {
      return undefined;
    }
  }

  #fileAt(path: string): Promise<OpenFile | { readonly why: string }> {
    const known = this.#files.get(path) ?? this.#openAt(path);
    this.#files.set(path, known);
    return known;
  }

  async #openAt(path: string): Promise<OpenFile | { readonly why: string }> {
    const file = await openRegular(path);
    if ("fd" in file) this.#open.set(path, file);
    return file;
  }

  close(): void {
    for (const { fd } of this.#open.values()) closeSync(fd);
    this.#open.clear();
  }
}

interface OpenFile {
  readonly fd: number;
  readonly size: number;
}

interface Backend {
  readonly file: OpenFile;
  /** Where the backend begins in its file. */
  readonly offset: number;
  readonly size: number;
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function windowIn(range: TreeRange, { file, offset, size }: Backend): HostWindow | { readonly why: string } {
  const position = offset + Number(range.regionOffset);
  const fits = range.regionOffset + range.size <= BigInt(size) && isPosition(position, range.size);
  if (!fits) return { why: `${printable(range.name, 40)} is smaller than what the guest has of it` };
  if (BigInt(position) + range.size > BigInt(file.size)) {
    return { why: `the file behind ${printable(range.name, 40)} is too short` };
  }
  return { start: range.start, size: range.size, fd: file.fd, position };
}

const statFile = promisify(stat) as (path: string) => Promise<Stats>;
const statOpen = promisify(fstat) as (fd: number) => Promise<Stats>;
const openFile = promisify(open) as (path: string, flags: number) => Promise<number>;

/** Opens a regular file for reading, within OPEN_MS. */
async function openRegular(path: string): Promise<OpenFile | { readonly why: string }> {
  const opening = openChecked(resolve(path)).catch((error: NodeJS.ErrnoException) => ({
    why: `${printable(path)} cannot be opened (${error.code ?? error.message})`,
  }));
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((done) => {
    timer = setTimeout(() => done(undefined), OPEN_MS);
  });
  const file = await Promise.race([opening, late]);
  clearTimeout(timer);
  if (file !== undefined) return file;
  void opening.then((opened) => "fd" in opened && close(opened.fd, () => undefined));
  return { why: `${printable(path)} does not open within ${OPEN_MS / 1000} s` };
}

async function openChecked(path: string): Promise<OpenFile | { readonly why: string }> {
  const before = await statFile(path);
  if (!before.isFile()) return { why: notRegular(path, before) };
  const fd = await openFile(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  const now = await statOpen(fd);
  if (now.isFile() && now.ino === before.ino && now.dev === before.dev) return { fd, size: now.size };
  closeSync(fd);
  return { why: notRegular(path, now) };
}

function notRegular(path: string, stats: Stats): string {
  // QEMU makes a file of its own in a folder and takes its name away.
  if (stats.isDirectory()) return `${printable(path)} is a folder: the file that QEMU has there is without a name`;
  return `${printable(path)} is not a regular file`;
}
