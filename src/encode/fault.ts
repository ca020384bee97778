/** The fault and the call chains, as JSON. */
import type { PlaceJson } from "../api/parts.ts";
import type { BacktraceJson, FaultJson } from "../api/schemas.ts";
import { hex } from "../base/hex.ts";
import type { Fault, FaultRegister } from "../diagnose/fault.ts";
import type { Place } from "../diagnose/place.ts";
import type { CalledService } from "../diagnose/service.ts";
import type { PlacedFrame, PointTrace } from "../diagnose/trace.ts";
import { encodeWalks, orNull } from "./walks.ts";

/** The fault of a capture, as `show FILE fault --json` prints it. */
export function encodeFault(fault: Fault): FaultJson {
  const { vector, syndrome, trace } = fault;
  return {
    point: fault.point,
    cpu: fault.cpu,
    exceptionLevel: fault.level,
    vector: vector === undefined ? null : { kind: vector.kind, from: vector.from },
    esr: orNull(fault.esr),
    exceptionClass: syndrome?.ec ?? null,
    summary: syndrome?.summary ?? null,
    spsr: encodeRegister(fault.spsr),
    hpfar: encodeRegister(fault.hpfar),
    pc: encodePlace(fault.pc),
    far: orNull(fault.far?.address),
    farPlace: encodePlace(fault.far),
    x30: encodePlace(fault.linkRegister),
    pcWalks: encodeWalks(fault.pcWalks),
    farWalks: encodeWalks(fault.farWalks),
    ...encodeTrace(trace),
    general: fault.general.map(({ name, value }) => ({ name, value: hex(value) })),
    code: fault.code.flatMap(({ listing }) =>
      listing.instructions.map(({ address, word, mnemonic, operands }) => ({
        address: hex(address),
        word: hex(BigInt(word)),
        text: `${mnemonic} ${operands}`.trimEnd(),
      })),
    ),
  };
}

/** A call chain, as `show FILE backtrace --json` prints it. */
export function encodeBacktrace(trace: PointTrace): BacktraceJson {
  return { point: trace.point, cpu: trace.cpu, regime: trace.regime ?? null, ...encodeTrace(trace) };
}

function encodeTrace({
  regime,
  frames,
  end,
  branch,
  site,
  service,
}: PointTrace): Pick<FaultJson, "callChain" | "branch" | "service"> {
  return {
    callChain: regime === undefined ? null : { frames: frames.map(encodeFrame), end },
    branch:
      branch === undefined
        ? null
        : {
            kind: branch.site.kind,
            address: site === undefined ? null : hex(site.address),
            why: branch.site.kind === "unknown" ? branch.site.why : null,
          },
    service: service === undefined ? null : encodeService(service),
  };
}

function encodeFrame({ pc, call, place, access, source, trust, doubts }: PlacedFrame) {
  return { pc: hex(pc), call: orNull(call), ...encodeNames(place), access, source, trust, doubts: [...doubts] };
}

function encodeRegister(register: FaultRegister | undefined): FaultJson["spsr"] {
  if (register === undefined) return null;
  const { name, value, fields } = register;
  return {
    name,
    value: hex(value),
    fields: fields.map((field) => ({ name: field.name, value: hex(field.value), meaning: field.meaning })),
  };
}

export function encodePlace(place: Place): PlaceJson;
export function encodePlace(place: Place | undefined): PlaceJson | null;
export function encodePlace(place: Place | undefined): PlaceJson | null {
  return place === undefined ? null : { address: hex(place.address), ...encodeNames(place) };
}

function encodeNames({ image, section, symbol, line, memoryType }: Place): Omit<PlaceJson, "address"> {
  return {
    image: image ?? null,
    section: section ?? null,
    symbol: symbol ?? null,
    line: line ?? null,
    memoryType: memoryType ?? null,
  };
}

function encodeService({ name, table, offset, before, at, call }: CalledService): FaultJson["service"] {
  const place = { table: hex(table.address), offset: hex(BigInt(offset)) };
  return { name, ...place, before: orNull(before), at: orNull(at), call: hex(call) };
}
