/** How stubs differ in breakpoints, in running and stopping, and in how the target is left. */
import {
  type BreakpointType,
  insertBreakpoint,
  removeBreakpoint,
  resumePayload,
  threadAlive,
  vContActions,
} from "../../../../src/rsp/index.ts";
import { sleep } from "../../live.ts";
import { END, LAST_WORDS } from "../guest.ts";
import { guestAfter } from "../leaving.ts";
import { type Session, type SessionOptions, signalStop } from "../session.ts";
import { code, type Difference, type Lab, NO, replyTo, stopText, told, YES } from "./lab.ts";

const BREAKPOINTS: readonly (readonly [packet: string, type: BreakpointType])[] = [
  ["Z1", "hardware"],
  ["Z2", "write"],
  ["Z3", "read"],
  ["Z4", "access"],
];

export const STOPPING: readonly Difference[] = [
  ...BREAKPOINTS.map(([packet, type]) => ({
    what: `\`${packet}\` (${type})`,
    observe: async (lab: Lab) => inserted(await lab.session(), type),
  })),
  {
    what: "the stop at a breakpoint says which kind",
    observe: async (lab) => ((await (await lab.session()).runTo("slow")).reasons.length > 0 ? YES : NO),
  },
  { what: "the stop at a write watchpoint", observe: watchedWrite },
];

async function inserted(session: Session, type: BreakpointType): Promise<string> {
  const breakpoint =
    type === "software" || type === "hardware"
      ? session.breakpoint("slow", type)
      : { type, address: session.at("watched"), kind: 8 };
  const reply = await session.send(insertBreakpoint(breakpoint));
  if (reply.kind === "ok") await session.ask(removeBreakpoint(breakpoint));
  return told(reply);
}

/** The guest sets `watched` to `counter`. */
async function watchedWrite(lab: Lab): Promise<string> {
  const session = await lab.session();
  const watchpoint = { type: "write", address: session.at("watched"), kind: 8 } as const;
  const inserted = await session.send(insertBreakpoint(watchpoint));
  if (inserted.kind !== "ok") return told(inserted);
  const stop = signalStop(await session.resume());
  await session.ask(removeBreakpoint(watchpoint));
  const when = (await session.number("watched")) === (await session.number("counter")) ? "after" : "before";
  return `${when} the write${stop.watch?.address === watchpoint.address ? ", address told" : ""}`;
}

export const RUNNING: readonly Difference[] = [
  {
    what: "actions of `vCont`",
    observe: async (lab) => {
      const reply = await (await lab.session()).send(vContActions());
      return reply.kind === "ok" ? code([...reply.value].join(" ")) : told(reply);
    },
  },
  replyTo("`T` of a thread that is not there", () => threadAlive({ process: undefined, thread: 0x7ffffn })),
  { what: "`0x03` while it runs", observe: async (lab) => interrupted(await lab.session()) },
  { what: "`0x03` that crosses a stop", observe: async (lab) => lateInterrupt(await lab.session()) },
  { what: "other threads, at a stop", observe: othersAtStop },
  { what: "`vCont;s:ID` moves", observe: steppedThreads },
  { what: "`vCont;s` for both of two threads", observe: stepOfAll },
  { what: "the guest ends with status 42", observe: guestEnds },
  { what: "what the guest prints comes as `O`", observe: output },
  { what: "`C0f` (SIGTERM)", observe: terminated },
  {
    what: "after a close without `D` the guest",
    observe: (lab) => lab.last((session) => guestAfter(session, () => session.client.close())),
  },
];

async function interrupted(session: Session): Promise<string> {
  await session.connection.resume("c");
  await sleep(20);
  session.connection.interrupt();
  return session.connection.nextStop(AbortSignal.timeout(1000)).then(stopText, () => "ignored");
}

/** Sent when the stop is on its way already, as by a user who presses the key too late: what does it do to the next resume? */
async function lateInterrupt(session: Session): Promise<string> {
  await session.ask(insertBreakpoint(session.breakpoint("slow")));
  await session.connection.resume("c");
  // The breakpoint is hit within this time, and its stop cannot be read: nothing else is done here meanwhile.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 300);
  session.connection.interrupt();
  await session.connection.nextStop(AbortSignal.timeout(5000));
  await session.ask(removeBreakpoint(session.breakpoint("slow")));
  const stop = await session.runTo("mark");
  return (await session.pc()) === session.at("mark") ? "ignored" : `${stopText(stop)} at the next resume`;
}

function othersAtStop(lab: Lab): Promise<string> {
  return lab.last(async (session) => {
    await session.startSecondThread();
    const before = await session.number("second_counter");
    await sleep(50);
    return (await session.number("second_counter")) === before ? "stand still" : "run on";
  });
}

/** The second thread is stepped, which leaves `counter` to the first. */
function steppedThreads(lab: Lab): Promise<string> {
  return lab.last(async (session) => {
    const [, second] = await session.startSecondThread();
    if (second === undefined) throw new Error("there is no second thread");
    const before = await session.number("counter");
    for (let i = 0; i < 20; i++) await session.step(second);
    return (await session.number("counter")) === before ? "that thread" : "all threads";
  });
}

/** Steps all threads, and looks whether the next resume runs to where it should. */
function stepOfAll(lab: Lab): Promise<string> {
  const several = "several stops";
  return lab.last(async (session) => {
    await session.startSecondThread();
    for (let i = 0; i < 20; i++) {
      await session.connection.resume("vCont;s");
      try {
        await session.connection.nextStop(AbortSignal.timeout(2000));
      } catch (error) {
        const refusal = /"(E..)"/.exec(String(error))?.[1];
        return refusal === undefined ? several : code(refusal);
      }
      // Two threads of qemu-user both answer what comes next.
      const arrived = await session
        .runTo("mark")
        .then(async () => (await session.pc()) === session.at("mark"))
        .catch(() => false);
      if (!arrived) return several;
    }
    return "one stop";
  });
}

function guestEnds(lab: Lab): Promise<string> {
  return lab.last(async (session) => {
    await session.set("orders", END);
    return stopText(await session.resume());
  });
}

async function output(lab: Lab): Promise<string> {
  let text = "";
  const options: SessionOptions = {
    onOutput: (hexText) => {
      text += hexText;
    },
  };
  return lab.fresh(async (session) => {
    await session.set("orders", END);
    await session.resume();
    return Buffer.from(text, "hex").toString().includes(LAST_WORDS.trim()) ? YES : NO;
  }, options);
}

function terminated(lab: Lab): Promise<string> {
  return lab.last(async (session) => {
    await session.ask(insertBreakpoint(session.breakpoint("slow")));
    const stop = await session.resume(resumePayload({ kind: "continue", signal: 15 }));
    return stop.kind === "signal" && stop.signal === 5 ? "dropped" : stopText(stop);
  });
}
