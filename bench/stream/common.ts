/** What the processes of the stream's benchmark say to each other, and how they tell the time. */
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    role: { type: "string", default: "main" },
    clients: { type: "string", default: "200" },
    rate: { type: "string", default: "100" },
    size: { type: "string", default: "2048" },
    /** Of load on ebscope, all turns together. */
    seconds: { type: "string", default: "60" },
    turn: { type: "string", default: "5" },
    stalled: { type: "string", default: "20" },
    /** Without the bare servers. */
    alone: { type: "boolean", default: false },
    json: { type: "boolean", default: false },
  },
});

export const flags = {
  role: values.role,
  clients: Number(values.clients),
  /** Events a second. */
  rate: Number(values.rate),
  /** Bytes of an event, at least. */
  size: Number(values.size),
  seconds: Number(values.seconds),
  /** Seconds. */
  turn: Number(values.turn),
  stalled: Number(values.stalled),
  alone: values.alone,
  json: values.json,
} as const;

/** The same flags for a process of another role. */
export function argumentsFor(role: string): string[] {
  const { json: _json, alone: _alone, ...rest } = flags;
  return Object.entries({ ...rest, role }).flatMap(([name, value]) => [`--${name}`, String(value)]);
}

/** Events that a server without a log on disk keeps for clients that come back. */
export const KEPT = 20_000;

/** How clients speak to a server: JSON-RPC with a token, or as little as it takes. */
export interface Place {
  readonly port: number;
  /** Empty: the server is a bare one. */
  readonly token: string;
  /** The last event there is. */
  readonly head: number;
}

/** To a server: whether it is to make events. */
export interface Order {
  readonly run: boolean;
}

/** Of a server, several times a second. */
export interface Vitals {
  /** Bytes. */
  readonly rss: number;
  /** Seconds of a processor. */
  readonly cpu: number;
  readonly head: number;
}

/** Milliseconds. */
export interface Summary {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly most: number;
}

/** What the clients of one server saw. */
export interface Seen {
  readonly deliveries: Summary;
  readonly events: number;
  readonly lost: number;
  readonly twice: number;
  readonly comebacks: number;
  readonly lagged: number;
}

/** Of each server, the last event that all of its clients have. */
export interface Lasts {
  readonly lasts: readonly number[];
}

export type ClientOrder =
  | { readonly places: readonly Place[] }
  /** Whose clients come and go from now on; nobody's when it is null. */
  | { readonly restless: number | null }
  | { readonly ask: "lasts" }
  /** What was seen since the last time. */
  | { readonly ask: "report" };

/** Nanoseconds of a clock that all processes of the machine share. */
export function now(): number {
  return Number(process.hrtime.bigint());
}

export function summaryOf(times: readonly number[]): Summary {
  const sorted = Float64Array.from(times).sort();
  const at = (part: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? 0;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), most: at(1) };
}

export function wait(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}
