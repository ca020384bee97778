/** What there is at a point, and how an address translates at points, as JSON. */
import { hostExtensions } from "../aarch64/machine-state.ts";
import type { Mapping } from "../aarch64/regime-map.ts";
import type { RegimeName } from "../aarch64/regime-model.ts";
import { decodeFields, registerClass } from "../aarch64/registers/index.ts";
import { pageAddress } from "../aarch64/table-pages.ts";
import type { ExplainJson, MappingJson, PointJson, RegisterJson, TableJson } from "../api/schemas.ts";
import { hex } from "../base/hex.ts";
import { littleEndianValue } from "../base/registers.ts";
import { type PointWalk, walkChanges } from "../diagnose/walks.ts";
import { regimeNames } from "../diff/diff.ts";
import { imagesIn, ownerOf } from "../diff/owners.ts";
import { PointView } from "../diff/point-view.ts";
import type { LoadedImage } from "../efi/images.ts";
import { type Capture, type Point, pointRegisters } from "../snapshot/model.ts";
import { encodeAttributes, encodeWalks, orNull } from "./walks.ts";

/** Every register of every vCPU at a point. */
export function encodeRegisters(capture: Capture, point: Point): RegisterJson[] {
  return point.registers.flatMap((row, cpu) => {
    const e2h = hostExtensions(pointRegisters(capture, point, cpu));
    return capture.registers.map(({ name, stubName }, i): RegisterJson => {
      const read = row[i];
      const value = read?.state === "present" ? littleEndianValue(read.bytes) : undefined;
      const fields = value === undefined ? [] : decodeFields(name, value, { e2h });
      return {
        cpu,
        name,
        stubName,
        class: registerClass(name),
        value: orNull(value),
        fields: fields.map((field) => ({ name: field.name, value: hex(field.value), meaning: field.meaning })),
      };
    });
  });
}

/** The mappings of some regimes, as `show FILE mappings --json` prints them. */
export function encodeMappings(
  lists: readonly { readonly mappings: readonly Mapping[] }[],
  images: readonly LoadedImage[],
): MappingJson[] {
  return lists.flatMap(({ mappings }) =>
    mappings.map(
      ({ regime, va, size, pa, attributes }): MappingJson => ({
        regime,
        va: hex(va),
        size: hex(size),
        pa: hex(pa),
        ...encodeAttributes(attributes),
        owner: ownerOf(imagesIn(regime, images), va, size),
      }),
    ),
  );
}

export function encodeTables(view: PointView, names: readonly RegimeName[]): TableJson[] {
  return names.flatMap((regime) =>
    view.mapAny(regime).tables.map(({ pageNumber, level }) => ({
      regime,
      pa: hex(pageAddress(pageNumber)),
      level,
    })),
  );
}

export function encodePoint(capture: Capture, point: Point): PointJson {
  const states = [...point.pages.values()].map(({ state }) => state);
  const count = (wanted: string): number => states.filter((state) => state === wanted).length;
  const view = new PointView(capture, point);
  return {
    id: point.id,
    kind: point.kind,
    pc: orNull(view.registers.get("pc")),
    cpu: point.cpu,
    time: point.time,
    complete: point.complete,
    regimes: [...regimeNames(view)],
    pages: { present: count("present"), absent: count("absent"), unreadable: count("unreadable") },
  };
}

export function encodeExplanation(va: bigint, walks: readonly PointWalk[]): ExplainJson {
  const changes = walkChanges(walks).map(({ from, to, differences }) => ({ from, to, differences: [...differences] }));
  return { va: hex(va), points: encodeWalks(walks), changes };
}
