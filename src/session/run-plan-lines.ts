/** What a plan that runs tells, as lines of JSON. */
import type { HitJson, UndecidedJson } from "../api/records.ts";
import { hex, hexOfBytes } from "../base/hex.ts";
import type { MemoryRead } from "../base/memory.ts";
import { statusName } from "../efi/structures.ts";
import { encodeBacktrace } from "../encode/fault.ts";
import { orNull } from "../encode/walks.ts";
import type { CallArguments } from "./call-arguments.ts";
import type { PlanHit, RecordedMemory } from "./run-plan-record.ts";
import type { PlanUndecided } from "./run-plan-tell.ts";

export function encodeHit(found: PlanHit): HitJson {
  const { kind, point, hit, time, cpu, place, registers, memory, written, backtrace, returned } = found;
  return {
    ...{ kind, point, hit, time, cpu },
    pc: orNull(found.pc),
    place,
    at: found.at ?? null,
    condition: found.condition ?? null,
    registers: registers?.map((each) => ({ cpu: each.cpu, values: encodeValues(each.values) })) ?? null,
    memory: memory?.map(encodeMemory) ?? null,
    written:
      written === undefined
        ? null
        : { address: hex(written.address), before: encodeRead(written.before), after: encodeRead(written.after) },
    arguments: found.arguments === undefined ? null : encodeArguments(found.arguments),
    returned: returned === undefined ? null : { value: hex(returned), status: statusOf(found) },
    backtrace: backtrace === undefined ? null : encodeBacktrace(backtrace),
    capture: found.capture ?? null,
    note: found.note ?? null,
  };
}

export function encodeUndecided({ kind, point, time, cpu, pc, why }: PlanUndecided): UndecidedJson {
  return { kind, point, time, cpu, pc: orNull(pc), condition: "unknown", why };
}

function encodeValues(values: ReadonlyMap<string, bigint | undefined>): Record<string, string | null> {
  return Object.fromEntries([...values].map(([name, value]) => [name, orNull(value)]));
}

function encodeMemory({ name, address, length, read }: RecordedMemory): NonNullable<HitJson["memory"]>[number] {
  const place = { name, address: orNull(address), length: orNull(length) };
  return { ...place, read: read.state === "unknown" ? { state: read.state, why: read.why } : encodeRead(read) };
}

function encodeRead(read: MemoryRead): NonNullable<HitJson["written"]>["before"] {
  if (read.state === "present") return { state: read.state, bytes: hexOfBytes(read.bytes) };
  return { state: read.state, code: read.code };
}

function encodeArguments(call: CallArguments): HitJson["arguments"] {
  return {
    service: call.service ?? null,
    arguments: call.arguments.map(({ name, type, value, text }) => ({
      ...{ name, type: type ?? null },
      value: orNull(value),
      text: text ?? null,
    })),
  };
}

/** The name of the EFI_STATUS that a service returned; null where it is none, or has no name. */
export function statusOf({ place, returned }: PlanHit): string | null {
  if (returned === undefined || !/^g(?:BS|RT)->/.test(place)) return null;
  return statusName(returned) ?? null;
}
