/**
 * The log of events over HTTP, for curl and jq: server-sent events (HTML, 9.2), whose `Last-Event-ID` resumes, and one JSON object a line. The
 * same cursors as those of `/rpc`; a reader that reads slowly slows down nothing but itself.
 */
import type { ServerResponse } from "node:http";
import type { FastifyReply } from "fastify";
import { faultsOf } from "../../api/check.ts";
import { EVENT_KINDS, EventFilter } from "../../api/events.ts";
import type { EventsQuery } from "../../api/http.ts";
import { asEbscopeError } from "../../base/error.ts";
import { hex, parseInteger } from "../../base/hex.ts";
import { printable } from "../../base/text.ts";
import type { EventLog, LoggedEvent } from "../../bridge/ports.ts";
import type { Limits } from "../limits.ts";
import { Refusal } from "../security/refusal.ts";
import { Cursor, type Sink, startOf } from "../stream/cursor.ts";
import { sieveOf } from "../stream/filter.ts";

/** How the parts of a stream are written. */
interface Form {
  readonly event: (seq: number, json: string) => string;
  readonly lagged: (from: number, to: number) => string;
  readonly failed: (code: string, message: string) => string;
  /** What shows a reader, and all between, that the connection lives; empty where the form has nothing for it. */
  readonly beat: string;
}

/** JSON has no line ends of its own but between tokens, and the log writes none. */
const SERVER_SENT: Form = {
  event: (seq, json) => `id: ${seq}\ndata: ${json}\n\n`,
  lagged: (from, to) => `event: lagged\ndata: ${JSON.stringify({ from, to })}\n\n`,
  failed: (code, message) => `event: failed\ndata: ${JSON.stringify({ code, message })}\n\n`,
  beat: ":\n\n",
};

const LINES: Form = {
  event: (_seq, json) => `${json}\n`,
  lagged: (from, to) => `${JSON.stringify({ lagged: { from, to } })}\n`,
  failed: (code, message) => `${JSON.stringify({ failed: { code, message } })}\n`,
  beat: "",
};

type StreamLimits = Pick<Limits, "unsent" | "behind" | "httpStreams" | "idle" | "ping">;

export class EventStreams {
  readonly #log: EventLog;
  readonly #limits: StreamLimits;
  #open = 0;

  constructor(log: EventLog, limits: StreamLimits) {
    this.#log = log;
    this.#limits = limits;
  }

  /** `lastEventId`: the header, which a client sends that comes back; what it says goes before `after`. */
  serverSent(query: EventsQuery, lastEventId: string | string[] | undefined, reply: FastifyReply): void {
    const after = lastEventId === undefined || lastEventId === "" ? query.after : checkedId(lastEventId);
    this.#stream(query, after, SERVER_SENT, reply);
  }

  lines(query: EventsQuery, reply: FastifyReply): void {
    this.#stream(query, query.after, LINES, reply);
  }

  #stream(query: EventsQuery, afterText: string | undefined, form: Form, reply: FastifyReply): void {
    const most = this.#limits.httpStreams;
    if (this.#open >= most) throw new Refusal(503, "too-many-requests", `Cannot send events: ${most} streams are open`);
    const after = startOf(this.#log, afterText === undefined ? undefined : Number(afterText));
    const sieve = sieveOf(filterOf(query));
    const response = begin(reply);
    const sink = new ResponseSink(response, form, this.#limits, query.follow === "false");
    const cursor = new Cursor(this.#log, sink, { after, sieve, behind: this.#limits.behind });
    this.#open++;
    const beat = setInterval(() => sink.beat(), this.#limits.ping);
    response.on("drain", () => cursor.drained());
    response.once("close", () => {
      this.#open--;
      clearInterval(beat);
      cursor.end();
    });
    cursor.start();
  }
}

/** From here on the response is written to by hand: fastify has no part in it any more. */
function begin(reply: FastifyReply): ServerResponse {
  reply.hijack();
  const response = reply.raw;
  // A reader that went away; `close` follows.
  response.on("error", () => undefined);
  // Nothing may happen for hours.
  response.socket?.setTimeout(0);
  response.writeHead(200, reply.getHeaders() as Record<string, string>);
  response.flushHeaders();
  return response;
}

class ResponseSink implements Sink {
  readonly #response: ServerResponse;
  readonly #form: Form;
  readonly #limits: StreamLimits;
  readonly #once: boolean;

  constructor(response: ServerResponse, form: Form, limits: StreamLimits, once: boolean) {
    this.#response = response;
    this.#form = form;
    this.#limits = limits;
    this.#once = once;
  }

  get ready(): boolean {
    return this.#response.writable && this.#response.writableLength < this.#limits.unsent;
  }

  send({ event, json }: LoggedEvent, changed: string | undefined): void {
    this.#response.write(this.#form.event(event.seq, changed ?? json));
  }

  cork(): void {
    this.#response.cork();
  }

  uncork(): void {
    this.#response.uncork();
  }

  lagged(from: number, to: number): void {
    this.#end(this.#form.lagged(from, to));
  }

  failed(error: unknown): void {
    const { code, message } = asEbscopeError(error);
    this.#end(this.#form.failed(code, message));
  }

  caughtUp(): void {
    if (this.#once) this.#end();
  }

  /** What is still to be taken is not waited for without end. */
  #end(last = ""): void {
    this.#response.socket?.setTimeout(this.#limits.idle);
    this.#response.end(last);
  }

  beat(): void {
    if (this.#form.beat !== "" && this.#response.writableLength === 0) this.#response.write(this.#form.beat);
  }
}

function checkedId(text: string | string[]): string {
  if (typeof text === "string" && /^(0|[1-9]\d{0,15})$/.test(text)) return text;
  throw new Refusal(400, "request-refused", "Cannot send events: Last-Event-ID is no sequence number");
}

/** The filter of `/rpc`, from the words of a query. */
function filterOf({ kinds, targets, registers, ranges }: EventsQuery): EventFilter {
  const filter = {
    ...(kinds === undefined ? {} : { kinds: listOf(kinds) }),
    ...(targets === undefined ? {} : { targets: listOf(targets) }),
    ...(registers === undefined ? {} : { registers: listOf(registers) }),
    ...(ranges === undefined ? {} : { ranges: listOf(ranges).map(rangeOf) }),
  };
  const faults = faultsOf(EventFilter, filter);
  if (faults === undefined) return filter as EventFilter;
  const next = `Kinds are ${EVENT_KINDS.join(", ")}.`;
  throw new Refusal(400, "request-refused", `Cannot filter events: ${faults}`, next);
}

/** An empty text is an empty list, which lets nothing through. */
function listOf(text: string): string[] {
  return text === "" ? [] : text.split(",");
}

function rangeOf(text: string): { start: string; size: string } {
  const [start, end, ...rest] = text.split("-").map(parseInteger);
  if (start !== undefined && end !== undefined && rest.length === 0 && end > start) {
    return { start: hex(start), size: hex(end - start) };
  }
  const message = `Cannot filter events: ${JSON.stringify(printable(text, 60))} is no range`;
  throw new Refusal(400, "request-refused", message, "Give START-END, END not included: 0x40000000-0x40200000.");
}
