/** `no-control-register-changes` and `all-changes-expected`: what may be another at the second of two points. */
import { hostExtensions } from "../../aarch64/machine-state.ts";
import { decodeFields, registerClass } from "../../aarch64/registers/index.ts";
import { hex } from "../../base/hex.ts";
import { printable } from "../../base/text.ts";
import type { Difference } from "../../diff/diff.ts";
import { isKnownChange, type RegisterChange } from "../../diff/registers.ts";
import { pointRegisters } from "../../snapshot/model.ts";
import type { DemandOf, NameException } from "../policy.ts";
import type { Subject } from "../subject.ts";
import { type Complaint, type Outcome, outcome } from "../verdict.ts";

/** The difference a rule is about, or why there is none. */
export async function changesOf(
  subject: Subject,
  { from, to }: { readonly from: string; readonly to: string },
): Promise<Difference | readonly Complaint[]> {
  const difference = await subject.difference(from, to);
  if (difference !== undefined) return difference;
  return [from, to].filter((id) => subject.point(id) === undefined).map((id) => subject.missing(id));
}

export function isMissing(found: Difference | readonly Complaint[]): found is readonly Complaint[] {
  return Array.isArray(found);
}

export async function noControlRegisterChanges(
  subject: Subject,
  demand: DemandOf<"no-control-register-changes">,
): Promise<Outcome> {
  const difference = await changesOf(subject, demand);
  if (isMissing(difference)) return outcome([], difference);
  const used = new Set<NameException>();
  const changed = difference.registers.filter((change) => change.class === "control" && isKnownChange(change));
  const violations = changed.flatMap((change) => complaintOf(difference, change, demand.except, used));
  const unread = unreadRegisters(difference, demand.except, used);
  const unused = demand.except.filter((each) => !used.has(each));
  return outcome(violations, unread, unused);
}

function complaintOf(
  difference: Difference,
  { cpu, name, before = 0n, after = 0n, fields }: RegisterChange,
  except: readonly NameException[],
  used: Set<NameException>,
): Complaint[] {
  const mine = except.filter((each) => each.name.matches(name));
  const rest = (before ^ after) & ~exceptedBits(difference, cpu, name, after, mine, used);
  if (rest === 0n) return [];
  const [from, to] = [difference.before.point.id, difference.after.point.id];
  const shown = printable(name, 40);
  return [
    {
      message: `${shown} of vCPU ${cpu} changed from ${from} to ${to}: ${hex(before)} → ${hex(after)}`,
      where: { point: to, cpu, register: name },
      evidence: fields.map(
        (field) => `${shown}.${field.name}: ${hex(field.before)} → ${hex(field.after)} (${field.meaning})`,
      ),
    },
  ];
}

const ALL_BITS = (1n << 128n) - 1n;

/** The bits of a register that may change. */
function exceptedBits(
  { capture, after }: Difference,
  cpu: number,
  name: string,
  value: bigint,
  except: readonly NameException[],
  used: Set<NameException>,
): bigint {
  const e2h = hostExtensions(pointRegisters(capture, after.point, cpu));
  let bits = 0n;
  for (const each of except) {
    const { field } = each;
    const fields =
      field === undefined ? [] : decodeFields(name, value, { e2h }).filter((one) => field.matches(one.name));
    const mask = fields.reduce(
      (sum, { high, low }) => sum | (((1n << BigInt(high - low + 1)) - 1n) << BigInt(low)),
      0n,
    );
    const own = field === undefined ? ALL_BITS : mask;
    if (own !== 0n) used.add(each);
    bits |= own;
  }
  return bits;
}

/** Control registers without a value at one of the points: whether they changed is not known. */
function unreadRegisters(
  { capture, before, after }: Difference,
  except: readonly NameException[],
  used: Set<NameException>,
): Complaint[] {
  const names = capture.registers.map(({ name }) => name).filter((name) => registerClass(name) === "control");
  return capture.threads.flatMap((_, cpu) => {
    const sides = [before.point, after.point].map((point) => ({
      id: point.id,
      registers: pointRegisters(capture, point, cpu),
    }));
    return names.flatMap((name) => {
      const at = sides.filter(({ registers }) => registers.get(name) === undefined).map(({ id }) => id);
      if (at.length === 0) return [];
      const excepted = except.filter((each) => each.field === undefined && each.name.matches(name));
      for (const each of excepted) used.add(each);
      return excepted.length > 0 ? [] : [unread(name, cpu, at)];
    });
  });
}

function unread(name: string, cpu: number, points: readonly string[]): Complaint {
  return {
    message: `whether ${printable(name, 40)} of vCPU ${cpu} changed is not known: it could not be read at ${points.join(" and ")}`,
    where: { point: points[0], cpu, register: name },
    evidence: [],
  };
}
