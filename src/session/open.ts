/**
 * Attaching to a guest, and launching one.
 *
 * An attached guest is left as it was found when the session is disposed of: without breakpoints, running if it ran. A launched one is ended,
 * or left running.
 */
import { CREATED_BY } from "../base/version.ts";
import type { Tap } from "../rsp/tap.ts";
import { parseStubAddress } from "../rsp/transport.ts";
import { type Launched, launchQemu } from "../target/launch.ts";
import type { MemoryChoice } from "../target/memory/channel.ts";
import { attachQemu } from "../target/qemu.ts";
import type { Target } from "../target/target.ts";
import type { SessionEvent } from "./events.ts";
import { Session } from "./session.ts";

export interface SessionOptions {
  /** Files and folders with symbols: ELF, System.map, linkers' maps. */
  readonly symbols?: readonly string[];
  /** How guest memory is read. Default `auto`. */
  readonly memory?: MemoryChoice;
  /** Ends every wait of the session; the guest is halted then. */
  readonly signal?: AbortSignal;
  /** How long a guest may run until its firmware shows its tables. Default 60 s. */
  readonly findTimeoutMs?: number;
  /** Told of every byte of the session with the stub; guest memory is read through it then. */
  readonly taps?: readonly Tap[];
  /** Pages of tables that a snapshot may read of a regime. */
  readonly maxTables?: number;
}

export interface AttachOptions extends SessionOptions {
  /** Leave the guest halted when the session is disposed of, though it ran before. */
  readonly pause?: boolean;
}

export interface LaunchOptions extends SessionOptions {
  /** Leave the guest running when the session is disposed of. Default: it is ended. */
  readonly keep?: boolean;
  /** Told each line that the command prints, printable. `events()` has them too, from when somebody listens. */
  readonly onLine?: (line: string, source: "stdout" | "stderr") => void;
}

const FIND_MS = 60_000;
/** QEMU has its socket a moment before it listens there. */
const JUST_STARTED_MS = 2000;

/** Attaches to QEMU's gdbstub: `localhost:1234`, `unix:/tmp/gdb.sock`. The guest is halted when this resolves. */
export async function attach(address: string, options: AttachOptions = {}): Promise<Session> {
  const target = await attachQemu(parseStubAddress(address), attachOptions(options));
  const close = (): Promise<void> => target.release(target.info.wasRunning && options.pause !== true);
  return sessionOf(target, options, close);
}

/** Starts QEMU (program and arguments, without -s, -S and -gdb), halted before its first instruction. */
export async function launch(command: readonly string[], options: LaunchOptions = {}): Promise<Session> {
  let tell: (event: SessionEvent) => void = () => undefined;
  const { signal } = options;
  const guest = await launchQemu(command, {
    ...(signal !== undefined && { signal }),
    onLine: (source, line) => {
      options.onLine?.(line, source);
      tell({ kind: "line", source, line });
    },
  });
  try {
    const own = { connectRetryMs: JUST_STARTED_MS, pid: guest.pid };
    const target = await attachQemu(guest.address, { ...attachOptions(options), ...own });
    const session = sessionOf(target, options, () => leave(guest, target, options.keep ?? false));
    tell = (event) => session.tell(event);
    return session;
  } catch (error) {
    await guest.end();
    throw error;
  }
}

async function leave(guest: Launched, target: Target, keep: boolean): Promise<void> {
  await target.release(keep);
  if (keep) guest.leave();
  else await guest.end();
}

function attachOptions({ memory, signal, taps }: SessionOptions) {
  return {
    ...(memory !== undefined && { memory }),
    ...(signal !== undefined && { signal }),
    ...(taps !== undefined && { taps }),
  };
}

function sessionOf(target: Target, options: SessionOptions, close: () => Promise<void>): Session {
  const { symbols = [], findTimeoutMs = FIND_MS, maxTables, signal } = options;
  return new Session({ target, createdBy: CREATED_BY, symbols, findTimeoutMs, maxTables, signal, close });
}
