/** Where a bridge serves: from the command line, and as clients take it. */
import { resolve } from "node:path";
import { EbscopeError } from "../../base/error.ts";
import { printable } from "../../base/text.ts";
import type { Listen } from "../../server/listen.ts";
import { isLoopback } from "../../server/security/names.ts";

export interface ListenFlags {
  readonly port: number;
  readonly listen: string;
  readonly socket?: string;
  readonly allowRemote?: boolean;
}

/** Where to listen; throws a usage error for what would be open to others without having been asked for in so many words. */
export function placesOf(flags: ListenFlags): readonly Listen[] {
  const { socket, listen: address, port } = flags;
  if (socket !== undefined) return [{ socket: resolve(socket) }];
  if (!isLoopback(address) && !flags.allowRemote) {
    throw new EbscopeError("usage", `Cannot listen on ${printable(address)}: other machines could reach it`, {
      next: "`ssh -L` brings a bridge to another machine without that. --allow-remote says that it is meant; docs/security.md has what it means.",
    });
  }
  return [{ address, port }];
}

/** As clients take it; the wildcard addresses stand for the loopback one too. */
export function urlOf(place: Listen): string {
  return "socket" in place ? `ws+unix:${place.socket}:/rpc` : `ws://${authority(place)}/rpc`;
}

/** How curl asks for a path there. */
export function curlTo(place: Listen): string {
  if ("socket" in place) return `curl --unix-socket ${shellWord(place.socket)} http://localhost`;
  return `curl http://${authority(place)}`;
}

function authority({ address, port }: { readonly address: string; readonly port: number }): string {
  const host = { "0.0.0.0": "127.0.0.1", "::": "::1" }[address] ?? address;
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}

/** A word of a command line for POSIX shells. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
