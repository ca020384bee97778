/** What a verb has of one guest of its own: attached as it was asked for, and told of on stdout or stderr. */
import type { BridgeEvent } from "../../api/events.ts";
import type { TargetJson } from "../../api/protocol.ts";
import { printableJson } from "../../base/text.ts";
import type { Guests } from "../../bridge/guests.ts";
import type { LoggedEvent } from "../../bridge/ports.ts";
import type { MemoryChoice } from "../../target/memory/channel.ts";
import { printData, progress } from "../output.ts";
import { renderEvent } from "../render/events.ts";

export interface AttachOptions {
  readonly run?: boolean;
  readonly memory?: MemoryChoice;
  /** Mappings are compared at each stop too. */
  readonly mappings?: boolean;
}

/** Attaches to one guest; it stands still afterwards unless `run`. */
export async function attachGuest(
  guests: Guests,
  gdb: string,
  { run = false, memory, mappings = false }: AttachOptions,
  signal: AbortSignal,
): Promise<TargetJson> {
  const { target } = await guests.attach({ gdb, ...(memory !== undefined && { memory }) }, signal);
  const guest = guests.get(target);
  if (mappings) await guest.watch({ mappings: true }, signal);
  return run ? guest.resume(signal) : guest.json;
}

export interface PrinterOptions {
  readonly json?: boolean;
  readonly all?: boolean;
}

/** Events on stdout, as lines for people or one JSON object a line. */
export class EventPrinter {
  readonly #options: PrinterOptions;
  #held: LoggedEvent[] | undefined = [];

  constructor(options: PrinterOptions) {
    this.#options = options;
  }

  /** What came before is held until something else has been printed. */
  open(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    this.print(held);
  }

  print(events: readonly LoggedEvent[]): void {
    if (this.#held !== undefined) {
      this.#held.push(...events);
      return;
    }
    const { json = false, all = false } = this.#options;
    const lines = events.flatMap((each) => (json ? [printableJson(each.json)] : renderEvent(each.event, { all })));
    if (lines.length > 0) printData(lines.join("\n"));
  }
}

/** What whoever looks at a bridge's terminal wants to know of its guests. */
const NOTED: readonly BridgeEvent["kind"][] = ["target.attached", "target.lost", "target.detached"];

/** The few events on stderr. */
export function noteEvents(events: readonly LoggedEvent[]): void {
  for (const { event } of events) {
    if (NOTED.includes(event.kind)) for (const line of renderEvent(event, { all: false })) progress(line);
  }
}
