/** Prints every change of a register as it happens: stream-register-diffs.ts [--url URL] [--token-file FILE] [--after N] */
import { parseArgs } from "node:util";
import { connect, printable } from "ebscope/client";

const { values } = parseArgs({
  options: { url: { type: "string" }, "token-file": { type: "string" }, after: { type: "string" } },
});
const { EBSCOPE_URL, EBSCOPE_TOKEN } = process.env;
await using client = await connect({
  url: values.url ?? EBSCOPE_URL,
  token: EBSCOPE_TOKEN,
  tokenFile: values["token-file"],
});
client.onState((state) => state.kind === "waiting" && console.error(`${state.error.message}; connecting again`));

const events = client.events({
  after: values.after === undefined ? undefined : Number(values.after),
  filter: { kinds: ["registers.changed"] },
  onGap: ({ from, to }) => console.error(`events ${from} to ${to} are not kept any more`),
});
for await (const { seq, target, data } of events) {
  for (const { cpu, name, before, after, fields } of data.registers) {
    const changes = fields.map((field) => `${field.name} ${field.before} → ${field.after} (${field.meaning})`);
    const line = `${seq} ${target} cpu${cpu} ${name}: ${before} → ${after}  ${changes.join(", ")}`;
    console.log(printable(line.trimEnd(), 1000)); // names come from the guest's side
  }
}
