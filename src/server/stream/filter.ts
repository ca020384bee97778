/** Filters of a subscription (api/events.ts): which events come, and what of their lists. */
import type { BridgeEvent, EventFilter } from "../../api/events.ts";

/** True: the event as it is; false: not at all; an event: what is left of it. */
export type Sieve = (event: BridgeEvent) => boolean | BridgeEvent;

interface Range {
  readonly start: bigint;
  /** Not included. */
  readonly end: bigint;
}

/** Undefined when everything is let through. */
export function sieveOf(filter: EventFilter | undefined): Sieve | undefined {
  if (filter === undefined || Object.keys(filter).length === 0) return undefined;
  const kinds = filter.kinds && new Set<string>(filter.kinds);
  const targets = filter.targets && new Set(filter.targets);
  const registers = filter.registers && new Set(filter.registers);
  const ranges = filter.ranges?.map(({ start, size }) => ({ start: BigInt(start), end: BigInt(start) + BigInt(size) }));
  return (event) => {
    if (kinds !== undefined && !kinds.has(event.kind)) return false;
    if (targets !== undefined && !(event.target !== null && targets.has(event.target))) return false;
    if (event.kind === "registers.changed" && registers !== undefined) return withRegisters(event, registers);
    if (event.kind === "mappings.changed" && ranges !== undefined) return withMappings(event, ranges);
    return true;
  };
}

function withRegisters(event: BridgeEvent<"registers.changed">, names: ReadonlySet<string>): boolean | BridgeEvent {
  const all = event.data.registers;
  const registers = all.filter(({ name }) => names.has(name));
  if (registers.length === 0 || registers.length === all.length) return registers.length > 0;
  return { ...event, data: { ...event.data, registers } };
}

function withMappings(event: BridgeEvent<"mappings.changed">, ranges: readonly Range[]): boolean | BridgeEvent {
  const all = event.data.mappings;
  const mappings = all.filter(({ va, size }) => touches(BigInt(va), BigInt(size), ranges));
  // What was cut from an incomplete list may have touched a range.
  if (mappings.length === 0 && event.data.complete) return false;
  return mappings.length === all.length || { ...event, data: { ...event.data, mappings } };
}

function touches(va: bigint, size: bigint, ranges: readonly Range[]): boolean {
  return ranges.some(({ start, end }) => start < end && va < end && start < va + size);
}
