import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { ebscope, Guest, HANDOFF, temporaryFolder } from "../support/live.ts";

import { everything, tshark } from "../support/transcripts.ts";

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());
const inFolder = (name: string): string => join(folder.path, name);

describe("a recorded attachment to a running guest", () => {
  it("is replayed: it was found running, and captured", async () => {
    const [capture, record, again] = ["a.ebs", "a.txt", "a-again.ebs"].map(inFolder) as [string, string, string];
    await using guest = await new Guest({ kernel: HANDOFF, append: "mode=boot-service" }).listening();
    const live = await ebscope("capture", "--json", "--out", capture, "--record", record, "--gdb", guest.address);
    expect(live.code, live.stderr).toBe(3);
    await guest[Symbol.asyncDispose]();
    const replayed = await ebscope("capture", "--json", "--out", again, "--gdb", `replay:${record}`);
    expect(replayed.code, replayed.stderr).toBe(3);
    expect(replayed.stdout).toBe(live.stdout);
    expect(replayed.stderr).not.toMatch(/guest (runs on|is paused)/);
  });

  it("with a snapshot too, over tcp, with the stub's port in the pcap", async () => {
    const [capture, record, again, pcap] = ["s.ebs", "s.txt", "s-again.ebs", "s.pcap"].map(inFolder) as [
      string,
      string,
      string,
      string,
    ];
    const port = 20_000 + (process.pid % 20_000);
    await using guest = await new Guest({}).listening();
    await guest.shows(/to skip/);
    await guest.monitor("gdbserver none");
    await guest.monitor(`gdbserver tcp:127.0.0.1:${port}`);
    const address = `127.0.0.1:${port}`;
    const live = await ebscope("snapshot", "--out", capture, "--record", record, "--pcap", pcap, "--gdb", address);
    expect(live.code, live.stderr).toBe(0);
    const replayed = await ebscope("snapshot", "--out", again, "--gdb", `replay:${record}`);
    expect(replayed.code, replayed.stderr).toBe(0);
    expect(await everything(again)).toEqual(await everything(capture));
    const fields = await tshark(
      pcap,
      port,
      "-T",
      "fields",
      "-e",
      "tcp.dstport",
      "-Y",
      "tcp.flags.syn == 1 && tcp.flags.ack == 0",
    );
    expect(fields.trim()).toBe(String(port));
    expect((await tshark(pcap, port, "-Y", "gdb.payload")).split("\n").length).toBeGreaterThan(100);
  });
});
