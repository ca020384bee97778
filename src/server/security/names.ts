/** The names under which a bridge may be asked for: exact values of Host and Origin. */
import { isIP } from "node:net";
import { EbscopeError } from "../../base/error.ts";
import { printable } from "../../base/text.ts";

export interface AllowedNames {
  readonly hosts: ReadonlySet<string>;
  readonly origins: ReadonlySet<string>;
}

const LOOPBACK = ["127.0.0.1", "localhost", "[::1]"] as const;
const HTTP_PORT = 80;
/** A name or address of RFC 3986's `host`, in the one spelling that browsers send, with or without a port. */
const NAME = /^(?:[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]{2,45}\])(?::[1-9]\d{0,4})?$/;

/**
 * What a bridge at `address` and `port` is asked for by: its loopback names, its own address unless that stands for all of them, and what
 * was allowed besides. A name that is allowed without a port is taken without one and with the bridge's: a proxy passes on either, and its
 * pages may come by TLS.
 */
export function allowedNames(address: string, port: number, more: readonly string[] = []): AllowedNames {
  const own = [...LOOPBACK, ...(isWildcard(address) ? [] : [inUrl(address)])].flatMap((name) => withPort(name, port));
  const others = more.flatMap((name) => (hasPort(name) ? [name] : [name, `${name}:${port}`]));
  const origins = [
    ...own.map((name) => `http://${name}`),
    ...others.flatMap((name) => [`http://${name}`, `https://${name}`]),
  ];
  return { hosts: new Set([...own, ...others]), origins: new Set(origins) };
}

/** A client leaves out the port that its scheme has anyway (RFC 9110, 4.2.3 and 7.2). */
function withPort(name: string, port: number): string[] {
  return port === HTTP_PORT ? [name, `${name}:${port}`] : [`${name}:${port}`];
}

function hasPort(name: string): boolean {
  return /:\d+$/.test(name.replace(/^\[.*\]/, ""));
}

function inUrl(address: string): string {
  return isIP(address) === 6 ? `[${address}]` : address;
}

export function isLoopback(address: string): boolean {
  return (isIP(address) === 4 && address.startsWith("127.")) || address === "::1" || address === "localhost";
}

function isWildcard(address: string): boolean {
  return address === "0.0.0.0" || address === "::";
}

/** A name from the command line; throws a usage error for what no client would send. */
export function allowedName(text: string): string {
  if (NAME.test(text)) return text;
  throw new EbscopeError("usage", `Cannot allow the host ${JSON.stringify(printable(text, 80))}: it is no name`, {
    next: "Give it as it stands in the URL, in small letters: NAME or NAME:PORT.",
  });
}
