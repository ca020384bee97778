/** Serves hostile stubs in a process of its own: told a stub's name it starts it and says where, told `good` it makes it a plain QEMU. */
import { HOSTILE_STUBS } from "./hostile-stubs.ts";
import { type ScriptedStub, startStub } from "./scripted-stub.ts";

export type HostileRequest = { readonly serve: string } | { readonly serve: undefined };
export type HostileAnswer = { readonly address: ScriptedStub["address"] };

let stub: ScriptedStub | undefined;

async function handle({ serve }: HostileRequest): Promise<void> {
  if (serve !== undefined) {
    await stub?.close();
    const hostile = HOSTILE_STUBS[serve];
    stub = await startStub(hostile === undefined ? {} : { script: hostile.script() });
  } else stub?.rescript({});
  if (stub !== undefined) process.send?.({ address: stub.address } satisfies HostileAnswer);
}

process.on("message", (request: HostileRequest) => void handle(request));
process.on("disconnect", () => process.exit());
process.send?.("ready");
