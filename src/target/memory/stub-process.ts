/**
 * Which process on this host answers a stub's socket.
 *
 * Source: proc(5): /proc/net/unix and /proc/net/tcp{,6} list sockets with their inodes, /proc/PID/fd has a link `socket:[INODE]` for each that
 * a process holds. Reading another user's /proc/PID/fd is refused.
 *
 * - unix: the listening socket and those accepted from it carry the path that the server bound, as it wrote it; a relative one counts from
 *   the server's own folder. Older servers of the same path may still be listed, so there can be more than one process.
 * - tcp: our end of the connection names its other end, and if that is on this host (and in this network namespace) it is listed too. When it
 *   is not, the stub runs elsewhere, whatever its address looks like.
 *
 * The process that holds the socket need not be QEMU: ssh and container proxies forward connections. Who it is, is settled by
 * comparing memory; see trust.ts.
 */
import { readdirSync, readFileSync, readlinkSync, realpathSync } from "node:fs";
import { basename, isAbsolute, resolve } from "node:path";
import { platform } from "node:process";
import type { StubAddress } from "../../rsp/transport.ts";

export interface StubProcesses {
  /** The likeliest first; never this process itself. */
  readonly pids: readonly number[];
  /** Whether the other end of the socket is on this host. */
  readonly local: boolean;
  /** Why there is none. */
  readonly why: string;
  /** Processes of other users could not be looked into. */
  readonly denied: boolean;
}

/** Candidates beyond this number are not tried. */
const MAX_PIDS = 8;
/** Open files that are looked at in all. */
const MAX_FILES = 500_000;

const ELSEWHERE: StubProcesses = { pids: [], local: false, why: "the stub is not on this host", denied: false };

/** The processes that hold the stub's end of the socket that we are connected to. `launched` is a process that we started for it. */
export function processesBehind(address: StubAddress, launched?: number): StubProcesses {
  if (platform !== "linux") return { ...ELSEWHERE, why: "finding the stub's process needs Linux's /proc" };
  const sockets = stubSockets(address);
  if (sockets === undefined) return ELSEWHERE;
  const { pids, denied } = holdersOf(sockets);
  if (pids.includes(process.pid)) return { ...ELSEWHERE, why: "the stub is part of this program" };
  const family = pids.length === 0 && launched !== undefined ? descendantsOf(launched) : [];
  const whose = denied ? "no process that this user may look into" : "no process";
  const found = [...pids, ...family].slice(0, MAX_PIDS);
  return { pids: found, local: true, why: `${whose} holds the stub's socket`, denied };
}

/** Inodes of sockets, each with the path that counts from its process's folder, if its server bound such a one. */
interface Sockets {
  readonly inodes: ReadonlyMap<string, string | undefined>;
  /** The path that is meant, without links; empty for tcp. */
  readonly real: string;
}

/** Undefined when the other end is not on this host. */
function stubSockets(address: StubAddress): Sockets | undefined {
  switch (address.kind) {
    case "unix":
      return unixSockets(address.path);
    case "tcp":
      return peerSockets(address.port);
    case "replay":
      return undefined;
  }
}

function unixSockets(path: string): Sockets {
  const real = realPath(path) ?? resolve(path);
  const names = [basename(path), basename(real)];
  const inodes = new Map<string, string | undefined>();
  for (const line of linesOf("/proc/net/unix")) {
    // Num: RefCount Protocol Flags Type St Inode Path
    const [, inode = "", bound = ""] = /^[0-9a-f]+: (?:\S+\s+){5}(\d+) (.+)$/.exec(line) ?? [];
    if (inode === "" || !names.includes(basename(bound))) continue;
    if (!isAbsolute(bound)) inodes.set(inode, bound);
    else if (bound === real || realPath(bound) === real) inodes.set(inode, undefined);
  }
  return { inodes, real };
}

interface TcpSocket {
  readonly local: string;
  readonly remote: string;
  readonly state: string;
  readonly inode: string;
}

const ESTABLISHED = "01";

/** The other ends of this process's own connections to a port. */
function peerSockets(port: number): Sockets | undefined {
  const all = ["/proc/net/tcp", "/proc/net/tcp6"].flatMap(tcpSockets).filter(({ state }) => state === ESTABLISHED);
  const own = new Set(socketsOf("self"));
  const ours = all.filter(({ remote, inode }) => remote.endsWith(`:${port}`) && own.has(inode));
  const peers = all.filter((each) => ours.some(({ local, remote }) => each.local === remote && each.remote === local));
  return peers.length === 0 ? undefined : { inodes: new Map(peers.map(({ inode }) => [inode, undefined])), real: "" };
}

const END = "([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})";
/** sl: local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode … */
const TCP_LINE = new RegExp(`^\\s*\\d+: ${END} ${END} ([0-9A-F]{2}) \\S+ \\S+ \\S+\\s+\\d+\\s+\\d+ (\\d+) `);

function tcpSockets(table: string): TcpSocket[] {
  return linesOf(table).flatMap((line) => {
    const [, localHost = "", localPort = "", host = "", port = "", state = "", inode = ""] = TCP_LINE.exec(line) ?? [];
    if (inode === "") return [];
    return [{ local: endpoint(localHost, localPort), remote: endpoint(host, port), state, inode }];
  });
}

/** `HOST:port`. An IPv4 address on a socket for IPv6 (::ffff:a.b.c.d) is the IPv4 address. */
function endpoint(host: string, port: string): string {
  return `${host.replace(/^0{16}FFFF0000/, "")}:${Number.parseInt(port, 16)}`;
}

/** The processes that hold any of the sockets. Those that look like QEMU are asked first, and the others only when none of them does. */
function holdersOf({ inodes, real }: Sockets): { readonly pids: readonly number[]; readonly denied: boolean } {
  const all = processes();
  const likely = all.filter((pid) => /^qemu/i.test(textOf(`/proc/${pid}/comm`)));
  const budget = { files: MAX_FILES };
  let denied = false;
  const holds = (pid: string): boolean => {
    const held = socketsOf(pid, budget);
    denied ||= held === undefined;
    return held?.some((inode) => inodes.has(inode) && boundThere(pid, inodes.get(inode), real)) ?? false;
  };
  const first = likely.filter(holds);
  const found = first.length > 0 ? first : all.filter((pid) => !likely.includes(pid) && holds(pid));
  return { pids: found.map(Number), denied: denied && found.length === 0 };
}

/** Whether a socket bound by a relative path is the one that is meant. */
function boundThere(pid: string, relative: string | undefined, real: string): boolean {
  if (relative === undefined) return true;
  const folder = linkOf(`/proc/${pid}/cwd`);
  return folder !== undefined && realPath(resolve(folder, relative)) === real;
}

/** Inodes of the sockets that a process has open; undefined when this user may not look. */
function socketsOf(pid: string, budget = { files: MAX_FILES }): string[] | undefined {
  let files: string[];
  try {
    files = readdirSync(`/proc/${pid}/fd`);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EACCES" ? undefined : [];
  }
  const looked = files.slice(0, Math.max(budget.files, 0));
  budget.files -= looked.length;
  return looked.flatMap((file) => /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${pid}/fd/${file}`) ?? "")?.[1] ?? []);
}

/** A process and all that came of it. */
function descendantsOf(ancestor: number): number[] {
  const parents = new Map(processes().map((pid) => [Number(pid), parentOf(pid)]));
  const family = [ancestor];
  // Grows while it is gone through; each process is a child once.
  for (const pid of family) for (const [child, parent] of parents) if (parent === pid) family.push(child);
  return family;
}

/** `PID (COMM) STATE PPID …`; COMM may hold parentheses and spaces. */
function parentOf(pid: string): number {
  return Number(/^\d+ \(.*\) \S (\d+)/s.exec(textOf(`/proc/${pid}/stat`))?.[1] ?? -1);
}

function processes(): string[] {
  try {
    return readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return [];
  }
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "latin1");
  } catch {
    return "";
  }
}

function linesOf(file: string): string[] {
  return textOf(file).split("\n");
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}
