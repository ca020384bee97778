/** Whole conversations in each way of acknowledging, the stub sending what it likes: all that was asked for ends, and no byte strays. */
import fc from "fast-check";
import { EbscopeError } from "../../../src/base/error.ts";
import { Connection } from "../../../src/rsp/connection.ts";
import type { AckMode } from "../../../src/rsp/link.ts";
import { FakeTransport } from "../../support/fake-transport.ts";
import { VirtualTime } from "../../support/virtual-time.ts";
import { type Count, type Fuzz, fuzzAsync } from "./fuzz.ts";
import { framed, replies, streams } from "./streams.ts";

/** What happens next: a call, bytes that arrive, or time that passes. */
type Step =
  | { readonly kind: "ask"; readonly payload: string; readonly expectsStop: boolean; readonly prints: boolean }
  | { readonly kind: "batch"; readonly count: number }
  | { readonly kind: "resume" | "interrupt" | "wait" | "detach" | "hang up" }
  | { readonly kind: "arrive"; readonly bytes: string }
  | { readonly kind: "pass"; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("ask" as const),
      payload: fc.constantFrom("g", "m0,4", "?", "qRcmd,00", "qC"),
      expectsStop: fc.boolean(),
      prints: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("batch" as const), count: fc.integer({ min: 0, max: 5 }) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constantFrom("resume", "wait", "interrupt") }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("wait", "detach", "hang up") }) },
  {
    weight: 6,
    arbitrary: fc
      .oneof({ weight: 4, arbitrary: replies.map((reply) => `+${framed(reply)}`) }, { weight: 1, arbitrary: streams })
      .map((bytes) => ({ kind: "arrive" as const, bytes })),
  },
  { weight: 1, arbitrary: fc.integer({ min: 1, max: 3000 }).map((ms) => ({ kind: "pass" as const, ms })) },
);

class Conversation {
  readonly #wire = new FakeTransport();
  readonly #connection = new Connection(this.#wire, { deadlineMs: 4000, maxInFlight: 4, maxInFlightBytes: 64 });
  readonly #asked: Promise<unknown>[] = [];
  readonly #count: Count;
  #seen = 0;

  constructor(count: Count) {
    this.#count = count;
  }

  async acknowledge(mode: AckMode): Promise<void> {
    if (mode === "implied") await this.#connection.implyAcks();
    if (mode !== "none") return;
    const agreed = this.#connection.startNoAckMode();
    await microtasks();
    this.#wire.receive("+$OK#9a");
    await agreed;
  }

  async step(next: Step, time: VirtualTime): Promise<void> {
    const connection = this.#connection;
    switch (next.kind) {
      case "ask":
        this.#note(
          connection.request(next.payload, { label: next.payload, expectsStop: next.expectsStop, ...printing(next) }),
        );
        break;
      case "batch":
        this.#note(
          connection.batch(
            Array.from({ length: next.count }, () => ({ payload: "p1", label: "p1" })),
            String,
          ),
        );
        break;
      case "resume":
        this.#note(connection.resume("c"));
        break;
      case "wait":
        this.#note(connection.nextStop());
        break;
      case "detach":
        this.#note(connection.detach());
        break;
      case "interrupt":
        connection.interrupt();
        break;
      case "hang up":
        this.#wire.hangUp();
        break;
      case "arrive":
        this.#wire.receive(next.bytes);
        break;
      case "pass":
        time.pass(next.ms);
        break;
    }
    await microtasks();
    this.#nothingStrays();
  }

  /** Whatever was asked for has an answer now, or an error that says what it is. */
  async end(): Promise<void> {
    await this.#connection.close();
    for (const outcome of await Promise.allSettled(this.#asked)) {
      if (outcome.status === "rejected" && !(outcome.reason instanceof EbscopeError)) throw outcome.reason;
      this.#count(outcome.status === "fulfilled" ? "answered" : (outcome.reason as EbscopeError).code);
    }
  }

  #note(asked: Promise<unknown>): void {
    // Rejections are looked at in the end.
    asked.catch(() => undefined);
    this.#asked.push(asked);
  }

  /** Without acknowledgements nothing may follow a resume but 0x03, until the stop. */
  #nothingStrays(): void {
    const written = this.#wire.writes.slice(this.#seen).join("");
    this.#seen = this.#wire.writes.length;
    if (!this.#connection.running || this.#connection.ackMode === "strict") return;
    const behind = written.slice(written.lastIndexOf("#63") + 3);
    const stray = behind.replace(/^\$D(;1)?#..$/, "").replaceAll("\x03", "");
    if (written.includes("$c#63") && stray !== "") {
      throw new Error(`written behind a resume: ${JSON.stringify(behind)}`);
    }
  }
}

function printing({ prints }: { prints: boolean }): { onOutput?: () => void } {
  return prints ? { onOutput: () => undefined } : {};
}

async function microtasks(): Promise<void> {
  for (let i = 0; i < 12; i++) await undefined;
}

async function converse([mode, steps]: readonly [AckMode, readonly Step[]], count: Count): Promise<void> {
  using time = new VirtualTime();
  const conversation = new Conversation(count);
  await conversation.acknowledge(mode);
  for (const next of steps) await conversation.step(next, time);
  await conversation.end();
  if (time.waiting > 0) throw new Error(`${time.waiting} timers are left behind`);
}

const modes = fc.constantFrom<AckMode>("strict", "implied", "none");

export const SESSIONS: readonly Fuzz[] = [
  fuzzAsync("conversations", 159, fc.tuple(modes, fc.array(step, { maxLength: 12 })), converse),
];
