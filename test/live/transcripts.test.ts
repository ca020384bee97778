/** Sessions with real guests, recorded, and replayed without them. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PcapTap } from "../../src/rsp/pcap.ts";
import { RecordFile } from "../../src/rsp/record-file.ts";
import {
  ebscope,
  ebscopeJson,
  type Finished,
  failure,
  Guest,
  HANDOFF,
  machine,
  QEMU_7,
  QEMU_10,
  ROOT,
  sleep,
  start,
  startEbscope,
  temporaryFolder,
} from "../support/live.ts";
import { readTranscriptText } from "../support/transcript-text.ts";
import { everything, type Point, packetsOf, tshark } from "../support/transcripts.ts";

const folder = temporaryFolder();
afterAll(() => folder[Symbol.dispose]());
const inFolder = (name: string): string => join(folder.path, name);

describe.each([
  { mode: "clean", qemu: QEMU_7, code: 0, smp: 1 },
  { mode: "boot-service", qemu: QEMU_7, code: 3, smp: 1 },
  { mode: "boot-service", qemu: QEMU_10, code: 3, smp: 4 },
])("a recorded capture of mode=$mode with $smp vCPUs of $qemu", ({ mode, qemu, code, smp }) => {
  const name = `${mode}-${smp}-${qemu === QEMU_7 ? 7 : 10}`;
  const [capture, record, pcap] = ["ebs", "txt", "pcap"].map((ending) => inFolder(`${name}.${ending}`)) as [
    string,
    string,
    string,
  ];
  let live: Finished;
  beforeAll(async () => {
    const command = machine({ qemu, smp, kernel: HANDOFF, append: `mode=${mode}` });
    const recording = ["--record", record, "--pcap", pcap];
    live = await ebscope("capture", "--json", "--watch", "2", "--out", capture, ...recording, "--", ...command);
  });

  it(`ends with ${code}, live and replayed, and prints the same diff`, async () => {
    expect(live.code, live.stderr).toBe(code);
    // From reset on the firmware was looked at again and again, and interrupted each time.
    expect(readTranscriptText(readFileSync(record, "latin1")).sent).toContain("\x03");
    const again = inFolder(`${name}-again.ebs`);
    const options = ["--json", "--watch", "2", "--out", again];
    const replayed = await ebscope("capture", ...options, "--gdb", `replay:${record}`);
    expect(replayed.code, replayed.stderr).toBe(code);
    expect(replayed.stdout).toBe(live.stdout);
    expect(await everything(again)).toEqual(await everything(capture));
  });

  it("is asked for the same when it is replayed, and for nothing else", async () => {
    const second = inFolder(`${name}-second.txt`);
    const options = ["--watch", "2", "--out", inFolder(`${name}-second.ebs`), "--record", second];
    const { code: ended, stderr } = await ebscope("capture", ...options, "--gdb", `replay:${record}`);
    expect(ended, stderr).toBe(code);
    const requests = (file: string) => packetsOf(readTranscriptText(readFileSync(file, "latin1")).sent);
    const first = requests(record);
    expect(first.length).toBeGreaterThan(500);
    expect(new Set(requests(second))).toEqual(new Set(first));
  });

  it("is a text that says how it came about", () => {
    const { comments, end, times } = readTranscriptText(readFileSync(record, "latin1"));
    expect(comments[0]).toMatch(/^\d{4}-\S+Z, ebscope \S+, unix:/);
    expect(comments[1]).toContain("capture --watch 2 ");
    expect(end).toBe("closed here");
    expect(times.every((time, i) => time >= (times[i - 1] ?? 0))).toBe(true);
  });

  it("is what Wireshark dissects as the GDB remote protocol, every packet of it", async () => {
    const { sent, received } = readTranscriptText(readFileSync(record, "latin1"));
    const checks = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"];
    const apart = [...checks, "-o", "tcp.desegment_tcp_streams:FALSE"];
    const fields = ["-T", "fields", "-e", "tcp.srcport", "-e", "gdb.payload", "-e", "_ws.expert.severity"];
    const rows = (await tshark(pcap, 1234, ...apart, ...fields)).split("\n").map((row) => row.split("\t"));
    const payloads = (port: string) =>
      rows.flatMap(([from, payload]) =>
        from === port && payload ? [Buffer.from(payload, "hex").toString("latin1")] : [],
      );
    // The dissector shows no field for an empty payload.
    expect(payloads("50000")).toEqual(packetsOf(sent).filter((payload) => payload !== ""));
    expect(payloads("1234")).toEqual(packetsOf(received).filter((payload) => payload !== ""));
    for (const options of [apart, checks]) {
      expect(await tshark(pcap, 1234, ...options, "-Y", "_ws.malformed || _ws.expert.severity >= warning")).toBe("");
      expect(
        await tshark(pcap, 1234, ...options, "-Y", "tcp.checksum.status != Good || ip.checksum.status != Good"),
      ).toBe("");
    }
    const bytes = (port: number) =>
      tshark(pcap, 1234, ...checks, "-Y", `tcp.srcport == ${port}`, "-T", "fields", "-e", "tcp.len");
    const total = async (port: number) =>
      (await bytes(port)).split("\n").reduce((sum, length) => sum + Number(length), 0);
    expect([await total(50_000), await total(1234)]).toEqual([sent.length, received.length]);
  });
});

describe("a packet of more than a segment", () => {
  it("is put together by Wireshark", async () => {
    const file = inFolder("large.pcap");
    const tap = new PcapTap(new RecordFile(file, () => undefined), undefined);
    const payload = "00".repeat(75_000);
    tap.bytes("received", Buffer.from(`+$${payload}#00`), performance.now());
    tap.ended({ by: "client" }, performance.now());
    const fields = await tshark(file, 1234, "-Y", "gdb.payload", "-T", "fields", "-e", "gdb.payload");
    expect(Buffer.from(fields.trim(), "hex").toString("latin1")).toBe(payload);
  });
});

describe("a session that was cut", () => {
  const record = inFolder("cut.txt");
  const command = (): string[] => machine({ kernel: HANDOFF, append: "mode=clean" });

  it("because QEMU was killed is cut there again", async () => {
    await using guest = await new Guest({ kernel: HANDOFF, append: "mode=clean" }, true).listening();
    const out = inFolder("killed.ebs");
    const running = startEbscope("capture", "--out", out, "--watch", "60", "--record", record, "--gdb", guest.address);
    await running.stderrShows(/watching for a fault/);
    guest.child.kill("SIGKILL");
    const live = await running.finished;
    expect(failure(live)).toEqual({ exit: 1, code: "connection-lost" });
    expect(readTranscriptText(readFileSync(record, "latin1")).end).toMatch(/^closed by the stub/);
    const again = inFolder("killed-again.ebs");
    const replayed = await ebscope("capture", "--out", again, "--watch", "60", "--gdb", `replay:${record}`);
    expect(failure(replayed)).toEqual({ exit: 1, code: "connection-lost" });
    expect(await everything(again)).toEqual(await everything(out));
  });

  it("because ebscope was killed is replayed as far as it goes", async () => {
    const out = inFolder("dead.ebs");
    await using guest = await new Guest({ kernel: HANDOFF, append: "mode=clean" }, true).listening();
    const running = startEbscope("capture", "--out", out, "--watch", "60", "--record", record, "--gdb", guest.address);
    await running.stderrShows(/watching for a fault/);
    // What came in the very turn in which a program is killed is lost.
    await sleep(500);
    running.child.kill("SIGKILL");
    await running.finished;
    const text = readFileSync(record, "latin1");
    expect(readTranscriptText(text.slice(0, text.lastIndexOf("\n") + 1)).end).toBeUndefined();
    const replayed = await ebscope("capture", "--out", out, "--watch", "60", "--gdb", `replay:${record}`);
    expect(failure(replayed)).toEqual({ exit: 1, code: "transcript-truncated" });
    const points = await ebscopeJson<Point[]>("show", out, "points");
    expect(points.map(({ id }) => id)).toEqual(expect.arrayContaining(["before", "after"]));
  });

  it("because the file may not grow is captured to its end, with a warning", async () => {
    const out = inFolder("full.ebs");
    const run = ["capture", "--quiet", "--watch", "1", "--out", out, "--record", record, "--", ...command()];
    // 1 MiB: more than a capture, less than its session.
    const limited = [
      "-c",
      'ulimit -f 1024; exec "$@"',
      "bash",
      process.execPath,
      join(ROOT, "dist/src/cli/main.js"),
      ...run,
    ];
    const finished = await start("bash", limited).finished;
    expect(finished.code, finished.stderr).toBe(0);
    expect(failure(finished)).toEqual({ exit: 0, code: "file-unwritable" });
    expect(existsSync(out)).toBe(true);
    expect(readFileSync(record).length).toBe(1 << 20);
    const replayed = await ebscope("capture", "--out", inFolder("full-again.ebs"), "--gdb", `replay:${record}`);
    expect(failure(replayed).code).toBe("transcript-truncated");
  });
});

describe("what cannot be recorded or replayed", () => {
  it("is told before a guest is touched", async () => {
    const record = inFolder("kept.txt");
    writeFileSync(record, "kept");
    const refused = async (...args: readonly string[]) =>
      failure(await ebscope("snapshot", "--gdb", "localhost:1", ...args));
    const out = inFolder("never.ebs");
    expect(await refused("--out", out, "--record", inFolder("none/x"))).toEqual({ exit: 1, code: "file-unwritable" });
    expect(await refused("--out", out, "--pcap", folder.path)).toEqual({ exit: 1, code: "file-unwritable" });
    expect(await refused("--out", record, "--record", record)).toEqual({ exit: 2, code: "usage" });
    expect(await refused("--out", out, "--record", record, "--pcap", record)).toEqual({ exit: 2, code: "usage" });
    const itself = await ebscope("snapshot", "--out", out, "--gdb", `replay:${record}`, "--record", record);
    expect(failure(itself)).toEqual({ exit: 2, code: "usage" });
    expect(readFileSync(record, "utf8")).toBe("kept");
    const other = await ebscope("snapshot", "--out", out, "--gdb", `replay:${record}`);
    expect(failure(other)).toEqual({ exit: 1, code: "not-a-transcript" });
  });
});
