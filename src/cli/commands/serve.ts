/** `ebscope serve`: a bridge in front of guests, for any number of tools at once. */
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { asEbscopeError, EbscopeError } from "../../base/error.ts";
import { plural, printable } from "../../base/text.ts";
import { type Bridge, createBridge } from "../../bridge/bridge.ts";
import type { CaptureStore } from "../../bridge/ports.ts";
import { type DurableEventLog, openStore } from "../../bridge/store/index.ts";
import { buildReport, type Report, renderHtml, renderMarkdown } from "../../report/index.ts";
import type { CaptureForms } from "../../server/handlers.ts";
import type { Listen } from "../../server/listen.ts";
import { allowedName, isLoopback } from "../../server/security/names.ts";
import { makeTokens, type TokenFiles, writeTokens } from "../../server/security/tokens.ts";
import { startServer } from "../../server/server.ts";
import { EXIT } from "../exit-code.ts";
import { jsonText, printData, printError, progress } from "../output.ts";
import { CREATED_BY, VERSION } from "../version.ts";

export interface ServeFlags {
  readonly gdb?: readonly string[];
  readonly run?: boolean;
  readonly port: number;
  readonly listen: string;
  readonly socket?: string;
  readonly allowRemote?: boolean;
  readonly allowHost?: readonly string[];
  readonly data?: string;
  readonly readOnly?: boolean;
  readonly json?: boolean;
}

/** Serves until it is stopped; then every guest is as it was found. */
export async function serveCommand(flags: ServeFlags): Promise<number> {
  const listen = placesOf(flags);
  const allowedHosts = (flags.allowHost ?? []).map(allowedName);
  const folder = dataFolder(flags.data);
  const closing = new Closing();
  const stopped = stopSignal(closing);
  try {
    const { log, captures } = await openStore(folder);
    closing.add(() => log.close());
    tellDamage(log);
    const onProblem = ({ error }: { error: EbscopeError }): void => printError(error);
    const bridge = await createBridge({ log, captures, version: VERSION, cut: log.cut, onProblem });
    closing.add(() => bridge.close());
    const tokens = makeTokens({ readOnly: flags.readOnly ?? false });
    const forms = formsOf(bridge, captures);
    const { handlers } = bridge;
    const server = await startServer({ handlers, log, forms, tokens, version: VERSION, listen, allowedHosts });
    closing.add(() => server.close());
    const files = await writeTokens(folder, tokens);
    closing.add(() => files.remove());
    await attachAll(bridge, flags, stopped);
    printPlaces({ places: server.places, files, folder }, flags);
    await ended(stopped);
  } finally {
    await closing.close();
  }
  return EXIT.done;
}

/** What is to be closed at the end, the last first, each whatever becomes of the others. */
class Closing {
  readonly #closers: (() => Promise<void>)[] = [];

  add(close: () => Promise<void>): void {
    this.#closers.push(close);
  }

  async close(): Promise<void> {
    for (const close of this.#closers.splice(0).reverse()) {
      await close().catch((error: unknown) => printError(asEbscopeError(error)));
    }
  }
}

/** Where to listen; throws a usage error for what would be open to others without having been asked for in so many words. */
function placesOf(flags: ServeFlags): readonly Listen[] {
  const { socket, listen: address, port } = flags;
  if (socket !== undefined) return [{ socket: resolve(socket) }];
  if (!isLoopback(address) && !flags.allowRemote) {
    throw new EbscopeError("usage", `Cannot listen on ${printable(address)}: other machines could reach it`, {
      next: "`ssh -L` brings a bridge to another machine without that. --allow-remote says that it is meant; docs/security.md has what it means.",
    });
  }
  return [{ address, port }];
}

/** The folder that was given, else the user's own for data (XDG Base Directory Specification). */
export function dataFolder(given: string | undefined): string {
  if (given !== undefined) return resolve(given);
  const home = process.env.XDG_DATA_HOME ?? "";
  // "If an implementation encounters a relative path [...] it should consider the path invalid and ignore it."
  return join(isAbsolute(home) ? home : join(homedir(), ".local", "share"), "ebscope");
}

function tellDamage({ cut, damage }: DurableEventLog): void {
  if (cut > 0) progress(`the log of events ended in an unfinished write: ${plural(cut, "byte")} were taken off`);
  if (damage !== undefined) progress(`events ${damage.from} to ${damage.to} of the log are damaged and cannot be read`);
}

function formsOf({ captures }: Bridge, store: CaptureStore): CaptureForms {
  const report = async (id: string): Promise<Report> => {
    const [study, difference] = [await captures.study(id), await captures.difference(id, {})];
    return buildReport(study, difference, { file: `${id}.ebs`, version: CREATED_BY });
  };
  return {
    html: async (id) => renderHtml(await report(id)),
    markdown: async (id) => renderMarkdown(await report(id)),
    file: (id) => store.file(id),
  };
}

async function attachAll(bridge: Bridge, { gdb = [], run = false }: ServeFlags, signal: AbortSignal): Promise<void> {
  for (const address of gdb) {
    const params = { gdb: address, run };
    const { target, gdb: found, state } = await bridge.handlers["Target.attach"](params, { signal, access: "control" });
    progress(`attached to ${printable(found)} as ${target}: it is ${state}`);
  }
}

interface Started {
  readonly places: readonly Listen[];
  readonly files: TokenFiles;
  readonly folder: string;
}

function printPlaces({ places, files, folder }: Started, flags: ServeFlags): void {
  const urls = places.map(urlOf);
  const { control = null, read } = files;
  if (flags.json) {
    printData(jsonText({ urls, tokens: { control, read }, data: folder }));
    return;
  }
  const [url = ""] = urls;
  const curl =
    "socket" in (places[0] ?? {})
      ? `curl --unix-socket ${url.slice("ws+unix:".length, -":/rpc".length)} http://localhost`
      : `curl ${httpOf(url)}`;
  const lines = [
    ...urls.map((each) => `serving ${each}`),
    ...(control === null ? [] : [`token for control: ${control}`]),
    `token for reading: ${read}`,
    `try: ${curl}/captures -H "Authorization: Bearer $(cat ${read})"`,
  ];
  printData(lines.map((line) => printable(line, 4096)).join("\n"));
  if (flags.allowRemote) progress(REMOTE);
}

const REMOTE =
  "other machines can reach this bridge: what is sent, the token too, can be read on the way, and whoever has the token controls the guests";

/** As clients take it; the wildcard addresses stand for the loopback one too. */
function urlOf(place: Listen): string {
  if ("socket" in place) return `ws+unix:${place.socket}:/rpc`;
  const { address, port } = place;
  const host = { "0.0.0.0": "127.0.0.1", "::": "[::1]" }[address] ?? (address.includes(":") ? `[${address}]` : address);
  return `ws://${host}:${port}/rpc`;
}

function httpOf(url: string): string {
  return url.replace(/^ws:/, "http:").replace(/\/rpc$/, "");
}

/** Ctrl-C, a polite kill, and the terminal that is closed. */
const STOP_SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Aborted by the first of them; the second ends at once. */
function stopSignal(closing: Closing): AbortSignal {
  const controller = new AbortController();
  const onSignal = (): void => {
    if (controller.signal.aborted) process.exit(EXIT.failed);
    progress("stopping: leaving the guests as they were found (again to quit at once)");
    controller.abort(new EbscopeError("interrupted", "Stopped on request"));
  };
  for (const name of STOP_SIGNALS) process.on(name, onSignal);
  closing.add(async () => {
    for (const name of STOP_SIGNALS) process.removeListener(name, onSignal);
  });
  return controller.signal;
}

function ended(signal: AbortSignal): Promise<void> {
  return new Promise((resolvePromise) => {
    if (signal.aborted) resolvePromise();
    signal.addEventListener("abort", () => resolvePromise(), { once: true });
  });
}
