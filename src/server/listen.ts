/** Where the server listens: a TCP address, or a Unix socket that only its owner may open. */

import { chmod, lstat, rm, stat } from "node:fs/promises";
import type { Server } from "node:http";
import { createConnection } from "node:net";
import { dirname } from "node:path";
import { EbscopeError } from "../base/error.ts";
import { systemReason } from "../base/system-error.ts";
import { printable } from "../base/text.ts";

export type Listen = { readonly address: string; readonly port: number } | { readonly socket: string };

/** Of `sun_path`, with a zero at its end (unix(7)); elsewhere than on Linux it has 104. */
const MAX_SOCKET_PATH = process.platform === "linux" ? 107 : 103;

/** What is left for the group and for others of a new file's rights. */
const OWNER_ONLY = 0o177;

/** Resolves when connections are accepted. */
export async function listenOn(server: Server, where: Listen): Promise<void> {
  try {
    if ("socket" in where) await listenOnSocket(server, where.socket);
    else await listening(server, () => server.listen({ host: where.address, port: where.port }));
  } catch (error) {
    if (error instanceof EbscopeError) throw error;
    throw refused(where, systemReason(error), error);
  }
}

function refused(where: Listen, state: string, cause?: unknown): EbscopeError {
  const place = "socket" in where ? where.socket : `${where.address} port ${where.port}`;
  const next = "Give another --port, --listen or --socket, or end what uses this one.";
  return new EbscopeError("usage", `Cannot listen on ${printable(place)}: ${STATES[state] ?? state}`, { cause, next });
}

const STATES: Readonly<Record<string, string>> = {
  EADDRINUSE: "something else does",
  EADDRNOTAVAIL: "this machine has no such address",
  EINVAL: "it is no address",
  ENOTFOUND: "no such host",
  EAI_AGAIN: "no such host",
};

async function listenOnSocket(server: Server, path: string): Promise<void> {
  // What is longer is cut without a word.
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH) {
    throw refused({ socket: path }, `a socket's path has at most ${MAX_SOCKET_PATH} bytes`);
  }
  // Of a folder that is not there the system says the same as of one that is not ours.
  if (!(await stat(dirname(path)).catch(() => undefined))?.isDirectory()) {
    throw refused({ socket: path }, "there is no such folder");
  }
  await removeDeadSocket(path);
  // The socket has its mode from its first moment; listen() makes it before it returns.
  const before = process.umask(OWNER_ONLY);
  try {
    const done = listening(server, () => server.listen({ path }));
    process.umask(before);
    await done;
  } finally {
    process.umask(before);
  }
  await chmod(path, 0o600).catch((error) => {
    server.close();
    throw error;
  });
}

function listening(server: Server, listen: () => void): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.once("listening", () => {
      server.off("error", reject);
      resolve();
    });
    listen();
  });
}

/** A bridge that was killed leaves its socket: it is taken away when nothing listens on it, and never anything that is no socket. */
async function removeDeadSocket(path: string): Promise<void> {
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return;
  if (!found.isSocket()) throw refused({ socket: path }, "a file that is no socket has this name");
  if (await isAnswered(path)) throw refused({ socket: path }, "EADDRINUSE");
  await rm(path, { force: true });
}

function isAnswered(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection(path);
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    // Whatever else is wrong with it, it is not certain that it is dead.
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED"));
  });
}
