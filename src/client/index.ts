/** `ebscope/client` in Node. See docs/client.md. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { dataFolder } from "../base/data-folder.ts";
import { systemReason } from "../base/system-error.ts";
import { Client, type ClientOptions } from "./client.ts";
import type { TokenSource } from "./dialer.ts";
import { BridgeError, usageError } from "./errors.ts";
import { openNodeSocket } from "./node-socket.ts";

export * from "./common.ts";

export interface ConnectOptions extends ClientOptions {
  /** ws://HOST:PORT/rpc, http://HOST:PORT or ws+unix:PATH; ws://127.0.0.1:8624/rpc unless told. */
  readonly url?: string | undefined;
  /** The token itself, or the way to get it. */
  readonly token?: TokenSource | undefined;
  /** The file it is in, read before each attempt; that of the user's own bridge unless told. */
  readonly tokenFile?: string | undefined;
}

const DEFAULT_URL = "ws://127.0.0.1:8624/rpc";

/** Connects. Rejects with a BridgeError when that fails: its message has what the bridge said. */
export async function connect({
  url = DEFAULT_URL,
  token,
  tokenFile,
  ...options
}: ConnectOptions = {}): Promise<Client> {
  const source = token ?? (tokenFile === undefined ? ownToken(url) : () => readToken(tokenFile));
  return Client.connect(openNodeSocket, url, source, options);
}

/** For another machine it would be the wrong one, and told to it. */
function ownToken(url: string): TokenSource {
  const local = url.startsWith("ws+unix:") || /^\w+:\/\/(127(\.\d+){3}|localhost|\[::1\])(:\d+)?(\/|$)/.test(url);
  if (!local) throw usageError(`Cannot connect to ${url}: which token?`, "Give `token` or `tokenFile`.");
  const [control, read] = ["control.token", "read.token"].map((name) => join(dataFolder(), name)) as [string, string];
  // A bridge that only lets read has no other.
  return () => readToken(control).catch((error) => readToken(read).catch(() => Promise.reject(error)));
}

async function readToken(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    throw new BridgeError("file-unreadable", `Cannot read the token from ${path}: ${systemReason(error)}`, {
      next: "Check that `ebscope serve` runs: it names the file, and takes it away at its end.",
      cause: error,
    });
  }
}
