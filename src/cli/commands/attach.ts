/** `ebscope attach`: one guest, what happens to it on the terminal, and with --serve the bridge for everybody else. */
import type { BridgeEvent } from "../../api/events.ts";
import { EbscopeError, isErrorCode } from "../../base/error.ts";
import { printableJson } from "../../base/text.ts";
import { EventWriter } from "../../bridge/event-writer.ts";
import { Guests } from "../../bridge/guests.ts";
import type { LoggedEvent, NewEvent } from "../../bridge/ports.ts";
import { parseStubAddress } from "../../rsp/transport.ts";
import { type AttachOptions, attachGuest, EventPrinter, type PrinterOptions } from "../bridge/following.ts";
import { printServing, type ServingFlags, servingJson, startServing } from "../bridge/serving.ts";
import { type Stopping, untilStopped } from "../bridge/stopping.ts";
import { printData, progress } from "../output.ts";
import { CREATED_BY } from "../version.ts";

export interface AttachFlags extends AttachOptions, PrinterOptions, ServingFlags {
  readonly serve?: boolean;
}

/** Options that say how to serve, by their names in the flags. */
const SERVING = ["port", "listen", "allowRemote", "allowHost", "socket", "data", "readOnly"] as const;

/** Follows a guest until it is stopped; then the guest is as it was found. `given`: names of the flags that were given. */
export function attachCommand(gdb: string, flags: AttachFlags, given: readonly string[]): Promise<number> {
  // Whatever is wrong with it is told before a port is opened.
  parseStubAddress(gdb);
  const idle = SERVING.find((name) => !flags.serve && given.includes(name));
  if (idle !== undefined) {
    const option = idle.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    throw new EbscopeError("usage", `Cannot use --${option}: nothing is served`, { next: "Give --serve too." });
  }
  return untilStopped((stopping) => (flags.serve ? share(gdb, flags, stopping) : follow(gdb, flags, stopping)));
}

/** The guest for everybody: a lost one is told of, and can be attached to again. */
async function share(gdb: string, flags: AttachFlags, stopping: Stopping): Promise<void> {
  const serving = await startServing(flags, stopping);
  const printer = new EventPrinter(flags);
  serving.log.listen((events) => printer.print(events));
  const guest = await attachGuest(serving.bridge.guests, gdb, flags, stopping.signal);
  if (flags.json) printData(printableJson(JSON.stringify(servingJson(serving))));
  else printServing(serving, flags);
  printer.open();
  if (guest.state === "stopped") progress("the guest stands still: `Target.resume` lets it run, as does --run");
  await stopping.ended();
}

/** The guest for the terminal alone: when it is lost, that is the end. */
async function follow(gdb: string, flags: AttachFlags, stopping: Stopping): Promise<void> {
  const printer = new EventPrinter(flags);
  printer.open();
  const log = new PassingLog((logged) => {
    printer.print([logged]);
    if (logged.event.kind === "target.lost") stopping.stop(lossOf(logged.event));
  });
  const writer = new EventWriter(log);
  stopping.onClose(() => writer.close());
  const guests = new Guests({ writer, createdBy: CREATED_BY });
  stopping.onClose(() => guests.close());
  const guest = await attachGuest(guests, gdb, flags, stopping.signal);
  if (guest.state === "stopped") progress("the guest stands still until this ends: --run lets it run");
  await stopping.ended();
}

function lossOf({ data }: BridgeEvent<"target.lost">): EbscopeError {
  const code = isErrorCode(data.code) ? data.code : "connection-lost";
  return new EbscopeError(code, `Cannot follow the guest any more: ${data.message}`, {
    next: "Attach to it again when it is there.",
  });
}

/** Numbers events and passes them on; nothing is kept. */
class PassingLog {
  readonly #pass: (logged: LoggedEvent) => void;
  #head = 0;

  constructor(pass: (logged: LoggedEvent) => void) {
    this.#pass = pass;
  }

  async append({ target, capture, kind, data }: NewEvent): Promise<LoggedEvent> {
    const event = { seq: ++this.#head, time: new Date().toISOString(), target, capture, kind, data } as BridgeEvent;
    const logged = { event, json: JSON.stringify(event) };
    this.#pass(logged);
    return logged;
  }
}
