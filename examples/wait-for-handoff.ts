/** Waits for a guest's handoff and tells how it went: wait-for-handoff.ts --gdb HOST:PORT|unix:PATH [--url URL] [--token-file FILE] [--timeout S] [--watch S] */
import { parseArgs } from "node:util";
import { BridgeError, type CaptureJson, type Client, connect, printable } from "ebscope/client";

const text = { type: "string" } as const;
const { values } = parseArgs({ options: { gdb: text, url: text, "token-file": text, timeout: text, watch: text } });
const { EBSCOPE_URL, EBSCOPE_TOKEN } = process.env;

/** The codes that `ebscope capture` ends with. */
const EXIT = { done: 0, failed: 1, faulted: 3, timedOut: 4 };

async function main(gdb: string): Promise<number> {
  await using client = await connect({
    url: values.url ?? EBSCOPE_URL,
    token: EBSCOPE_TOKEN,
    tokenFile: values["token-file"],
  });
  const { target } = await client.Target.attach({ gdb });
  try {
    const capture = await takeHandoff(client, target);
    for (const { severity, title } of await client.Capture.findings({ capture: capture.capture })) {
      console.log(printable(`${severity}: ${title}`, 1000));
    }
    return exitCode(capture);
  } finally {
    await client.Target.detach({ target }).catch(() => undefined); // the guest may be gone
  }
}

async function takeHandoff(client: Client, target: string): Promise<CaptureJson> {
  const kinds = ["capture.progress", "capture.completed", "capture.failed"] as const;
  const events = client.events({ filter: { kinds, targets: [target] } });
  const times = { timeout: Number(values.timeout ?? 300), watch: Number(values.watch ?? 10) };
  const { capture } = await client.Capture.start({ target, ...times });
  for await (const { kind, capture: of, data } of events) {
    if (of !== capture) continue;
    if (kind !== "capture.progress") break;
    console.error(printable(data.text, 1000));
  }
  return client.Capture.wait({ capture });
}

function exitCode({ points, error }: CaptureJson): number {
  const [returned, faulted] = ["after", "fault"].map((wanted) => points.some(({ kind }) => kind === wanted));
  if (error !== null) {
    console.error(printable(`${error.message} [${error.code}]`, 1000));
    const early = ["timed-out", "no-system-table", "bad-boot-services"].includes(error.code);
    return early && !returned ? EXIT.timedOut : EXIT.failed;
  }
  if (!faulted) return EXIT.done;
  return returned ? EXIT.faulted : EXIT.failed;
}

try {
  process.exitCode = await main(values.gdb ?? "localhost:1234");
} catch (error) {
  if (!(error instanceof BridgeError)) throw error;
  console.error(`${error.message}\n  → ${error.next} [${error.code}]`);
  process.exitCode = EXIT.failed;
}
