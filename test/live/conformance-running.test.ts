/**
 * Running, stopping and leaving, against real stubs that no one here wrote: what the guest counted itself is the witness. What is said and
 * understood while it stands still is in conformance.test.ts.
 */
import { afterAll, describe, expect, it } from "vitest";
import {
  type BreakpointType,
  DEFAULT_FEATURES,
  insertBreakpoint,
  killProcess,
  listThreads,
  readMemory,
  removeBreakpoint,
  resumePayload,
  selectThread,
  vContActions,
} from "../../src/rsp/index.ts";
import { END, EXIT_STATUS, LAST_WORDS, tableBytes } from "../support/conformance/guest.ts";
import { guestAfter } from "../support/conformance/leaving.ts";
import { raceInterrupts } from "../support/conformance/races.ts";
import { okValue, openSession, type Session, type SessionOptions, signalStop } from "../support/conformance/session.ts";
import {
  disposePrograms,
  GDBSERVER,
  LLDB_SERVER,
  QEMU_SYSTEM_7,
  QEMU_SYSTEM_10,
  QEMU_USER,
  type StubKind,
} from "../support/conformance/stubs.ts";
import { sleep } from "../support/live.ts";
import { Random } from "../support/random.ts";

/** What a stub is known to do. */
interface Manners {
  readonly openings: readonly NonNullable<SessionOptions["opening"]>[];
  readonly hardware: "ok" | "error";
  /** Whether the watched write has been done when it stops, and whether the stop tells where; undefined without watchpoints. */
  readonly watch: { readonly written: boolean; readonly told: boolean } | undefined;
  /** The signal of the stop that an interrupt gives; undefined where a running guest is not interrupted. */
  readonly interrupt: number | undefined;
  readonly actions: readonly string[];
  /** Whether the guest as a whole stands still at a stop, and a step moves one thread only. */
  readonly allStop: boolean;
  /** Whether the guest is a process, which has an exit status. */
  readonly process: boolean;
  /** `vKill`. */
  readonly killsByName: boolean;
  /** Whether what the guest prints comes as `O` packets. */
  readonly output: boolean;
  /** The stop of a guest that is resumed with SIGTERM. */
  readonly terminated: object;
}

const MACHINE: Manners = {
  openings: ["strict", "negotiated"],
  hardware: "ok",
  watch: { written: false, told: true },
  interrupt: 2,
  actions: ["c", "C", "s", "S"],
  allStop: true,
  process: false,
  output: false,
  killsByName: true,
  // It hits the breakpoint: the signal is dropped.
  terminated: { kind: "signal", signal: 5 },
};

const TERMINATED = { kind: "terminated", signal: 15 };

const CASES: readonly (readonly [name: string, kind: StubKind, manners: Manners])[] = (
  [
    [QEMU_SYSTEM_7, MACHINE],
    [QEMU_SYSTEM_10, MACHINE],
    [
      QEMU_USER,
      {
        ...MACHINE,
        openings: ["negotiated"],
        watch: undefined,
        interrupt: undefined,
        allStop: false,
        process: true,
        terminated: TERMINATED,
      },
    ],
    [
      GDBSERVER,
      {
        ...MACHINE,
        watch: { written: true, told: true },
        actions: ["c", "C", "t", "s", "S", "r"],
        process: true,
        terminated: TERMINATED,
      },
    ],
    [
      LLDB_SERVER,
      {
        ...MACHINE,
        // Not `strict`: see the table in docs/rsp.md.
        openings: ["negotiated"],
        hardware: "error",
        watch: { written: true, told: false },
        // SIGSTOP, in the numbering of Linux.
        interrupt: 19,
        process: true,
        output: true,
        killsByName: false,
        // It stops to tell that the signal is about to be delivered.
        terminated: { kind: "signal", signal: 15 },
      },
    ],
  ] as const
).map(([kind, manners]) => [kind.name, kind, manners] as const);

const STOPS = 20;
const RACES = 100;

afterAll(disposePrograms);

describe.each(CASES)("%s", (_, kind, manners) => {
  /** A stub of its own for each fact. */
  const fresh = async <T>(use: (session: Session) => Promise<T>, options: SessionOptions = {}): Promise<T> => {
    await using session = await openSession(kind, options);
    return await use(session);
  };

  describe("breakpoints", () => {
    /** At each stop the guest has counted once more since the last one. */
    const countStops = (type: BreakpointType): Promise<void> =>
      fresh(async (session) => {
        for (let i = 0; i < STOPS; i++) {
          const stop = await session.runTo("tick", type);
          expect(stop.signal).toBe(5);
          expect(await session.pc()).toBe(session.at("tick"));
          expect(await session.number("counter")).toBe(BigInt(i));
          await session.step();
          expect(await session.pc()).not.toBe(session.at("tick"));
        }
      });

    it(`in memory stop where they stand, each of ${STOPS} times`, () => countStops("software"));

    it(manners.hardware === "ok" ? "in hardware do the same" : "in hardware are refused: an error", () =>
      manners.hardware === "ok"
        ? countStops("hardware")
        : fresh(async (session) => {
            const reply = await session.send(insertBreakpoint(session.breakpoint("tick", "hardware")));
            expect(reply.kind).toBe(manners.hardware);
          }),
    );

    it("stop again, without getting on, when it is resumed on one", () =>
      fresh(async (session) => {
        await session.ask(insertBreakpoint(session.breakpoint("tick")));
        for (let i = 0; i < 3; i++) {
          expect(await session.resume()).toMatchObject({ kind: "signal", signal: 5 });
          expect(await session.pc()).toBe(session.at("tick"));
          expect(await session.number("counter")).toBe(0n);
        }
      }));

    it("stop no more when they are removed, and do not stand in the memory that is read", () =>
      fresh(async (session) => {
        const code = readMemory(session.at("tick"), 16);
        const plain = await session.ask(code);
        await session.ask(insertBreakpoint(session.breakpoint("tick")));
        expect(Buffer.from(await session.ask(code))).toEqual(Buffer.from(plain));
        await session.ask(removeBreakpoint(session.breakpoint("tick")));
        await session.runTo("slow");
        expect(await session.pc()).toBe(session.at("slow"));
        expect(await session.number("counter")).toBe(1000n);
      }));

    it(manners.watch === undefined ? "on writes: unsupported" : "on writes stop at each write", () =>
      fresh(async (session) => {
        const watchpoint = { type: "write", address: session.at("watched"), kind: 8 } as const;
        const inserted = await session.send(insertBreakpoint(watchpoint));
        if (manners.watch === undefined) {
          expect(inserted).toEqual({ kind: "unsupported" });
          return;
        }
        for (let i = 1n; i <= 5n; i++) {
          const stop = signalStop(await session.resume());
          expect(stop.signal).toBe(5);
          expect(stop.watch).toEqual(manners.watch.told ? { kind: "write", address: watchpoint.address } : undefined);
          expect(await session.number("counter")).toBe(64n * i);
          expect(await session.number("watched")).toBe(64n * (manners.watch.written ? i : i - 1n));
          await session.ask(removeBreakpoint(watchpoint));
          await session.step();
          await session.ask(insertBreakpoint(watchpoint));
          expect(await session.number("watched")).toBe(64n * i);
        }
      }),
    );
  });

  describe("interrupts", () => {
    it(manners.interrupt === undefined ? "do not stop it" : "stop it within 2 s, and it goes on afterwards", () =>
      fresh(async (session) => {
        const { connection } = session;
        let last = -1n;
        for (let i = 0; i < 5; i++) {
          await connection.resume(resumePayload({ kind: "continue" }));
          await sleep(20);
          connection.interrupt();
          const stopped = connection.nextStop(AbortSignal.timeout(manners.interrupt === undefined ? 500 : 2000));
          if (manners.interrupt === undefined) {
            await expect(stopped).rejects.toMatchObject({ code: "interrupted" });
            expect([connection.running, session.stub.guestRuns()]).toEqual([true, true]);
            return;
          }
          expect(await stopped).toMatchObject({ kind: "signal", signal: manners.interrupt });
          const counter = await session.number("counter");
          expect(counter).toBeGreaterThan(last);
          last = counter;
          const bytes = await session.ask(readMemory(session.at("table") + 4000n, 100));
          expect(Buffer.from(bytes)).toEqual(Buffer.from(tableBytes(4000, 100)));
        }
      }),
    );

    it("requests while it runs are refused here, and not sent", () =>
      fresh(async (session) => {
        await session.ask(insertBreakpoint(session.breakpoint("slow")));
        await session.connection.resume("c");
        await expect(session.send(readMemory(session.at("table"), 4))).rejects.toThrow(/while the guest runs/);
        expect(await session.connection.nextStop(AbortSignal.timeout(5000))).toMatchObject({ signal: 5 });
        expect(await session.pc()).toBe(session.at("slow"));
      }));

    it.each(manners.openings)("a resume right behind 50 reads lets them be answered first (%s)", (opening) =>
      fresh(
        async (session) => {
          for (let round = 0; round < 5; round++) {
            await session.ask(insertBreakpoint(session.breakpoint("slow")));
            const offsets = Array.from({ length: 50 }, (_unused, i) => 64 * (50 * round + i));
            const reads = offsets.map((offset) => readMemory(session.at("table") + BigInt(offset), 64));
            const replies = session.connection.sendAll(reads);
            const resumed = session.connection.resume("c");
            const bytes = (await replies).map((reply) => Buffer.from(okValue(reply)));
            expect(bytes).toEqual(offsets.map((offset) => Buffer.from(tableBytes(offset, 64))));
            await resumed;
            expect(await session.connection.nextStop(AbortSignal.timeout(5000))).toMatchObject({ signal: 5 });
            expect(await session.pc()).toBe(session.at("slow"));
            await session.ask(removeBreakpoint(session.breakpoint("slow")));
            await session.step();
          }
        },
        { opening },
      ),
    );

    it.each(manners.openings)(`${RACES} races with a breakpoint leave the session in order (%s)`, (opening) =>
      fresh(
        async (session) => {
          const races = await raceInterrupts(session, RACES, new Random(7));
          expect(races.disorder).toEqual([]);
          expect(races.sent).toBeGreaterThan(RACES / 4);
          expect(races.atBreakpoint).toBeGreaterThan(0);
          if (manners.interrupt === undefined) expect(races.interrupted).toBe(0);
          else expect(races.interrupted).toBeGreaterThan(0);
          expect(session.connection.closed).toBe(false);
        },
        { opening },
      ),
    );
  });

  describe("threads", () => {
    it(`vCont? tells ${manners.actions.join(" ")}`, () =>
      fresh(async (session) => {
        expect([...(await session.ask(vContActions()))]).toEqual(manners.actions);
      }));

    it("a step that names none moves the one that stopped by an instruction", () =>
      fresh(async (session) => {
        await session.runTo("tick");
        for (let i = 0, last = session.at("tick"); i < 3; i++) {
          await session.client.resume({ kind: "step" });
          expect(await session.client.nextStop(AbortSignal.timeout(5000))).toMatchObject({ kind: "signal", signal: 5 });
          const pc = await session.pc();
          expect(pc).not.toBe(last);
          last = pc;
        }
        expect(await session.number("counter")).toBeLessThanOrEqual(1n);
      }));

    it("a second one is listed, has registers of its own, and its work is seen", () =>
      fresh(async (session) => {
        const threads = await session.startSecondThread();
        expect(threads).toHaveLength(2);
        const pcs: bigint[] = [];
        for (const thread of threads) {
          await session.ask(selectThread("g", thread));
          pcs.push(await session.pc());
        }
        expect(pcs[0]).toBe(session.at("tick"));
        expect(pcs[1]).not.toBe(pcs[0]);
        expect(await session.number("second_counter")).toBeGreaterThan(0n);
      }));

    it(manners.allStop ? "a step of one leaves the other where it is" : "a step of one lets the other run", () =>
      fresh(async (session) => {
        const [first, second] = await session.startSecondThread();
        if (first === undefined || second === undefined) throw new Error("there are not two threads");
        const counter = await session.number("counter");
        const seen = new Set<bigint>();
        for (let i = 0; i < STOPS; i++) {
          const stop = await session.step(second);
          if (manners.allStop) expect(stop.threadId).toEqual(second);
          await session.ask(selectThread("g", second));
          seen.add(await session.pc());
        }
        if (!manners.allStop) {
          expect(await session.number("counter")).toBeGreaterThan(counter);
          return;
        }
        // It went round its loop of a few instructions.
        expect(seen.size).toBeGreaterThan(3);
        expect(await session.number("counter")).toBe(counter);
        await session.ask(selectThread("g", first));
        expect(await session.pc()).toBe(session.at("tick"));
      }),
    );
  });

  describe("the end", () => {
    it(manners.process ? "of the process is told with its status" : "of the machine is told", () =>
      fresh(async (session) => {
        await session.set("orders", END);
        const status = manners.process ? EXIT_STATUS : 0;
        expect(await session.resume()).toMatchObject({ kind: "exited", status });
      }),
    );

    it(`a resume with SIGTERM ends in ${JSON.stringify(manners.terminated)}`, () =>
      fresh(async (session) => {
        await session.runTo("tick");
        await session.step();
        await session.ask(insertBreakpoint(session.breakpoint("tick")));
        const stop = await session.resume(resumePayload({ kind: "continue", signal: 15 }));
        expect(stop).toMatchObject(manners.terminated);
      }));

    it.each([
      ["named", ["multiprocess+", ...DEFAULT_FEATURES]],
      ["without a name", DEFAULT_FEATURES],
    ] as const)("a guest that was let go goes on without us (its process %s)", (_how, features) =>
      fresh(
        async (session) => {
          await session.runTo("tick");
          expect(await guestAfter(session, () => session.client.detach())).toBe("goes on");
          expect(session.connection.closed).toBe(true);
        },
        { features },
      ),
    );

    it(
      manners.output
        ? "is preceded by what the guest printed: it comes through the stub"
        : "what the guest prints does not come through the stub",
      () => {
        let text = "";
        const onOutput = (hexText: string): void => {
          text += Buffer.from(hexText, "hex").toString();
        };
        return fresh(
          async (session) => {
            await session.set("orders", END);
            expect((await session.resume()).kind).toBe("exited");
            // A terminal ends lines with both.
            expect(text.replaceAll("\r\n", "\n")).toBe(manners.output ? LAST_WORDS : "");
            if (!manners.output) expect(await session.stub.printed(LAST_WORDS, 2000)).toBe(true);
          },
          { onOutput },
        );
      },
    );

    it(manners.killsByName ? "a process that was killed by its id is gone" : "killing by id: unsupported", () =>
      fresh(
        async (session) => {
          const [thread] = await session.threads();
          const reply = await session.send(killProcess(typeof thread?.process === "bigint" ? thread.process : 1n));
          expect(reply).toEqual(manners.killsByName ? { kind: "ok", value: "OK" } : { kind: "unsupported" });
          for (let tries = 0; manners.killsByName && session.stub.guestRuns() && tries < 200; tries++) await sleep(10);
          expect(session.stub.guestRuns()).toBe(!manners.killsByName);
        },
        { features: ["multiprocess+", ...DEFAULT_FEATURES] },
      ),
    );

    it("a guest that was killed is gone, and did not get to its last words", () =>
      fresh(async (session) => {
        await session.set("orders", END);
        await session.client.kill();
        expect(await session.stub.ended(5000)).toBe(true);
        expect(session.stub.guestRuns()).toBe(false);
        expect(session.stub.output()).not.toContain(LAST_WORDS);
      }));

    it("of the stub is told, whatever is under way", () =>
      fresh(async (session) => {
        const reads = Array.from({ length: 500 }, () => readMemory(session.at("table"), 1000));
        const outcome = session.connection.sendAll(reads).then(
          () => "all answered",
          (error: { code?: string }) => error.code,
        );
        await session.stub[Symbol.asyncDispose]();
        expect(["connection-lost", "all answered"]).toContain(await outcome);
        await expect(listThreads(session.send)).rejects.toMatchObject({ code: "connection-lost" });
      }));
  });
});
