/** What becomes of stubs that are sent what they do not expect: why the client does not send it. */
import { insertBreakpoint, readMemory } from "../../../../src/rsp/index.ts";
import { type Difference, fate, type Lab, WITH_PROCESSES, YES } from "./lab.ts";

const packet = (what: string, payload: string): Difference => ({
  what,
  observe: async (lab) => fate(await lab.session(), payload),
});

const aboutProcess = (what: string, payload: string): Difference => ({
  what,
  observe: (lab) => lab.fresh((session) => fate(session, payload), WITH_PROCESSES),
});

export const TRAPS: readonly Difference[] = [
  {
    what: "target.xml read before `?` or `Hg`",
    observe: (lab) =>
      lab.fresh((session) => fate(session, "qXfer:features:read:target.xml:0,64"), { opening: "features" }),
  },
  { what: "`strict`: a request in one piece with the `+` for a stop", observe: behindAcknowledgement },
  { what: "`m` of 65,537 bytes", observe: longRead },
  { what: "a packet longer than the packet size", observe: overlong },
  packet("`bc` though not offered", "bc"),
  packet("`vCont` without an action", "vCont"),
  packet("`qThreadExtraInfo` of a thread that is not there", "qThreadExtraInfo,7ffff"),
  aboutProcess("`vCont;c` for a process that is not there", "vCont;c:p7fff.1"),
  aboutProcess("`D` of a process that is not there", "D;7fff"),
];

/** The stop's waiter asks at once, so that `+` and request are written in the same turn. */
function behindAcknowledgement(lab: Lab): Promise<string> {
  return lab.fresh(
    async (session) => {
      const breakpoint = session.breakpoint("tick");
      await session.ask(insertBreakpoint(breakpoint));
      for (let i = 0; i < 3; i++) {
        await session.resume();
        const outcome = await fate(session, `z0,${breakpoint.address.toString(16)},${breakpoint.kind}`);
        if (outcome !== YES) return outcome;
        await session.step();
        await session.ask(insertBreakpoint(breakpoint));
      }
      return YES;
    },
    { opening: "strict", together: true },
  );
}

async function longRead(lab: Lab): Promise<string> {
  const session = await lab.session();
  const { payload } = readMemory(session.at("table"), 65_537);
  return fate(session, String(payload));
}

async function overlong(lab: Lab): Promise<string> {
  const session = await lab.session();
  const { packetSize } = session.connection;
  session.connection.packetSize = Number.POSITIVE_INFINITY;
  const outcome = await fate(session, `q${"x".repeat(packetSize + 100)}`);
  session.connection.packetSize = packetSize;
  return outcome;
}
