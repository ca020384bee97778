/** A bridge that is served: its folder, its guests, its port and its tokens. */
import { dataFolder } from "../../base/data-folder.ts";
import type { EbscopeError } from "../../base/error.ts";
import { plural, printable } from "../../base/text.ts";
import { type Bridge, createBridge } from "../../bridge/bridge.ts";
import type { CaptureStore } from "../../bridge/ports.ts";
import { type DurableEventLog, openStore } from "../../bridge/store/index.ts";
import { type Report, renderHtml, renderMarkdown } from "../../report/index.ts";
import type { CaptureForms } from "../../server/handlers.ts";
import type { Listen } from "../../server/listen.ts";
import { allowedName } from "../../server/security/names.ts";
import { makeTokens, type TokenFiles, writeTokens } from "../../server/security/tokens.ts";
import { startServer } from "../../server/server.ts";
import { reportOf } from "../commands/report.ts";
import { printData, printError, progress } from "../output.ts";
import { VERSION } from "../version.ts";
import { curlTo, type ListenFlags, placesOf, shellWord, urlOf } from "./places.ts";
import type { Stopping } from "./stopping.ts";

export interface ServingFlags extends ListenFlags {
  readonly allowHost?: readonly string[];
  readonly data?: string;
  readonly readOnly?: boolean;
}

export interface Serving {
  readonly bridge: Bridge;
  readonly log: DurableEventLog;
  /** With the ports that were chosen. */
  readonly places: readonly Listen[];
  readonly files: TokenFiles;
  readonly folder: string;
}

/** Starts it; `stopping` closes it. Throws usage errors before anything is touched. */
export async function startServing(flags: ServingFlags, stopping: Stopping): Promise<Serving> {
  const listen = placesOf(flags);
  const allowedHosts = (flags.allowHost ?? []).map(allowedName);
  const folder = dataFolder(flags.data);
  const { log, captures } = await openStore(folder);
  stopping.onClose(() => log.close());
  tellDamage(log);
  const onProblem = ({ error }: { error: EbscopeError }): void => printError(error);
  const bridge = await createBridge({ log, captures, version: VERSION, cut: log.cut, onProblem });
  stopping.onClose(() => bridge.close());
  const tokens = makeTokens({ readOnly: flags.readOnly ?? false });
  const forms = formsOf(bridge, captures);
  const { handlers } = bridge;
  const server = await startServer({ handlers, log, forms, tokens, version: VERSION, listen, allowedHosts });
  stopping.onClose(() => server.close());
  const files = await writeTokens(folder, tokens);
  stopping.onClose(() => files.remove());
  return { bridge, log, places: server.places, files, folder };
}

function tellDamage({ cut, damage }: DurableEventLog): void {
  if (cut > 0) progress(`the log of events ended in an unfinished write: ${plural(cut, "byte")} were taken off`);
  if (damage !== undefined) progress(`events ${damage.from} to ${damage.to} of the log are damaged and cannot be read`);
}

function formsOf({ captures }: Bridge, store: CaptureStore): CaptureForms {
  const report = async (id: string): Promise<Report> =>
    reportOf(await captures.study(id), await captures.difference(id, {}), `${id}.ebs`);
  return {
    html: async (id) => renderHtml(await report(id)),
    markdown: async (id) => renderMarkdown(await report(id)),
    file: (id) => store.file(id),
  };
}

/** Where it serves and where the tokens are, for programs. */
export function servingJson({ places, files, folder }: Serving) {
  const { control = null, read } = files;
  return { urls: places.map(urlOf), tokens: { control, read }, data: folder };
}

/** The same for people. */
export function printServing({ places, files }: Serving, flags: ServingFlags): void {
  const { control, read } = files;
  const lines = [
    ...places.map((place) => `serving ${urlOf(place)}`),
    ...(control === undefined ? [] : [`token for control: ${control}`]),
    `token for reading: ${read}`,
    ...places.slice(0, 1).map((place) => `try: ${tryIt(place, read)}`),
  ];
  printData(lines.map((line) => printable(line, 4096)).join("\n"));
  if (flags.allowRemote && flags.socket === undefined) progress(REMOTE);
}

function tryIt(place: Listen, token: string): string {
  return `${curlTo(place)}/captures -H "Authorization: Bearer $(cat ${shellWord(token)})"`;
}

const REMOTE =
  "other machines can reach this bridge: what is sent, the token too, can be read on the way, and whoever has the token controls the guests";
