/** Replies of the remote protocol as typed values. Source: "Debugging with GDB", appendix E, E.3 Stop Reply Packets. */

export type StopReply =
  | {
      readonly kind: "signal";
      readonly signal: number;
      /** The thread that stopped, as the stub names it (`01`, `p1.2`); undefined when the stub does not say. */
      readonly thread: string | undefined;
      readonly watch: { readonly kind: "write" | "read" | "access"; readonly address: bigint } | undefined;
    }
  | { readonly kind: "exited"; readonly status: number }
  | { readonly kind: "terminated"; readonly signal: number };

const WATCH_KINDS: ReadonlyMap<string, "write" | "read" | "access"> = new Map([
  ["watch", "write"],
  ["rwatch", "read"],
  ["awatch", "access"],
]);

/** Parses `S`, `T`, `W` and `X` replies; undefined for anything else. */
export function parseStopReply(text: string): StopReply | undefined {
  const code = Number.parseInt(text.slice(1, 3), 16);
  if (!/^[STWX][0-9a-fA-F]{2}/.test(text)) return undefined;
  switch (text[0]) {
    case "W":
      return { kind: "exited", status: code };
    case "X":
      return { kind: "terminated", signal: code };
    case "S":
      return { kind: "signal", signal: code, thread: undefined, watch: undefined };
    default:
      return { kind: "signal", signal: code, ...stopDetails(text.slice(3)) };
  }
}

function stopDetails(text: string): Pick<StopReply & { kind: "signal" }, "thread" | "watch"> {
  let thread: string | undefined;
  let watch: (StopReply & { kind: "signal" })["watch"];
  for (const pair of text.split(";")) {
    const colon = pair.indexOf(":");
    if (colon < 0) continue;
    const key = pair.slice(0, colon);
    const value = pair.slice(colon + 1);
    if (key === "thread" && /^[p0-9a-f.]{1,40}$/i.test(value)) thread = value;
    const kind = WATCH_KINDS.get(key);
    if (kind !== undefined && /^[0-9a-f]{1,16}$/i.test(value)) watch = { kind, address: BigInt(`0x${value}`) };
  }
  return { thread, watch };
}

/** `E01`, `E.text`: what the stub said instead of an answer; undefined when the reply is no error. */
export function errorReply(text: string): string | undefined {
  return /^E([0-9a-f]{2}$|\.)/i.test(text) ? text : undefined;
}

/** The key/value list that answers qSupported: `PacketSize=1000`, `swbreak+`, `multiprocess-`. */
export function parseSupported(text: string): ReadonlyMap<string, string> {
  const features = new Map<string, string>();
  for (const item of text.split(";")) {
    const equals = item.indexOf("=");
    if (equals > 0) features.set(item.slice(0, equals), item.slice(equals + 1));
    else if (/[+\-?]$/.test(item)) features.set(item.slice(0, -1), item.slice(-1));
  }
  return features;
}
