/** `ebscope check FILE --policy P`, and the policy of `ebscope capture`. */
import { dirname, resolve } from "node:path";
import { EbscopeError } from "../../base/error.ts";
import { printable, printableJson } from "../../base/text.ts";
import { VERSION } from "../../base/version.ts";
import type { Study } from "../../diagnose/study.ts";
import { insideFolder, readSource } from "../../document/index.ts";
import {
  checkCapture,
  compareWithBaseline,
  encodeVerdict,
  type Policy,
  readPolicy,
  renderGithub,
  renderJunit,
  renderVerdict,
  sarifLog,
  type Verdict,
} from "../../gate/index.ts";
import { checkWritable, writeWhole } from "../../snapshot/store.ts";
import { EXIT } from "../exit-code.ts";
import { jsonText, printData } from "../output.ts";
import { style } from "../render/style.ts";
import { openStudy, type SymbolFlags } from "./open.ts";

/** What both verbs take. */
export interface GateFlags {
  readonly policy?: string;
  readonly baseline?: string;
  readonly junit?: string;
  readonly sarif?: string;
  readonly github?: boolean;
  readonly json?: boolean;
}

export interface CheckFlags extends GateFlags, SymbolFlags {
  readonly policy: string;
  readonly all?: boolean;
}

export async function checkCommand(file: string, flags: CheckFlags): Promise<number> {
  const gate = await openGate(flags.policy, flags, [file]);
  return gate(await openStudy(file, flags), file);
}

/** Judges a capture, tells the verdict, and returns the exit code. */
export type Gate = (study: Study, file: string) => Promise<number>;

const STDOUT = "-";

/**
 * Reads the policy and its baseline, and refuses outputs that cannot be written: all of this before a guest is booted. `captures`: files that
 * no output may take the place of.
 */
export async function openGate(
  path: string,
  flags: GateFlags & { readonly all?: boolean },
  captures: readonly string[],
): Promise<Gate> {
  refuseOutputs(flags, [path, ...captures]);
  const policy = readPolicy(await readSource(path));
  const baseline = await openBaseline(policy, flags.baseline);
  for (const out of [flags.junit, flags.sarif]) if (out !== undefined && out !== STDOUT) await checkWritable(out);
  return async (study, file) => {
    const comparison = baseline === undefined ? undefined : await compareWithBaseline(baseline, study);
    const verdict = await checkCapture(study, policy, { capture: file, baseline: comparison });
    await tell(verdict, flags);
    return verdict.state === "kept" ? EXIT.done : EXIT.broken;
  };
}

/** The capture that `same-as` names, or --baseline; undefined when no rule asks for one. */
async function openBaseline(
  policy: Policy,
  given: string | undefined,
): Promise<{ readonly file: string; readonly study: Study } | undefined> {
  const rule = policy.rules.find(({ demand }) => demand.rule === "same-as");
  if (rule?.demand.rule !== "same-as") {
    if (given === undefined) return undefined;
    throw new EbscopeError("usage", `Cannot use --baseline: ${printable(policy.file)} has no rule same-as`, {
      next: "Add `same-as: {}` to its rules, or leave --baseline out.",
    });
  }
  const named = rule.demand.baseline;
  if (given === undefined && named === undefined) {
    const { line, column } = rule.position;
    throw new EbscopeError(
      "usage",
      `Cannot check same-as (${printable(policy.file)}:${line}:${column}): no baseline is named`,
      {
        next: "Give --baseline FILE, or a baseline in the policy.",
      },
    );
  }
  const file = given ?? (await insideFolder(dirname(policy.file), named ?? ""));
  return { file, study: await openStudy(file, {}) };
}

function refuseOutputs({ junit, sarif, github, json }: GateFlags, inputs: readonly string[]): void {
  const refuse = (state: string, next: string): never => {
    throw new EbscopeError("usage", `Cannot write the verdict: ${state}`, { next });
  };
  const outputs = [junit, sarif].filter((out) => out !== undefined);
  const stdout = outputs.filter((out) => out === STDOUT).length;
  if (stdout + Number(json ?? false) + Number(github ?? false) > 1)
    refuse("--json, --github and - all mean stdout", "Let one of them have it, and give the others files.");
  const files = outputs.filter((out) => out !== STDOUT);
  if (files.some((out) => out === "")) refuse("an output names no file", "Give --junit FILE, --sarif FILE.");
  if (new Set(files.map((out) => resolve(out))).size < files.length)
    refuse("two outputs would go to one file", "Give each a file of its own.");
  const taken = files.find((out) => out.endsWith(".ebs") || inputs.some((input) => resolve(input) === resolve(out)));
  if (taken !== undefined)
    refuse(
      `${printable(taken)} is the name of a capture or of the policy`,
      "Give it another name, such as verdict.xml.",
    );
}

/** Files first: who reads only the last lines of a log wants them to be the verdict. */
async function tell(verdict: Verdict, flags: GateFlags & { readonly all?: boolean }): Promise<void> {
  const { junit, sarif, github, json } = flags;
  if (junit !== undefined) await put(junit, renderJunit(verdict));
  if (sarif !== undefined)
    await put(sarif, `${printableJson(JSON.stringify(sarifLog(verdict, { version: VERSION }), null, 2))}\n`);
  if (junit === STDOUT || sarif === STDOUT) return;
  if (json) printData(jsonText(encodeVerdict(verdict)));
  else printData(renderVerdict(verdict, style, flags.all));
  if (github) process.stdout.write(renderGithub(verdict));
}

async function put(to: string, text: string): Promise<void> {
  if (to === STDOUT) printData(text);
  else await writeWhole(to, text);
}
