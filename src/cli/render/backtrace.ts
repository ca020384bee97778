/** `show FILE backtrace` */
import type { Names } from "../../diagnose/names.ts";
import type { PointTrace } from "../../diagnose/trace.ts";
import { renderTrace } from "./chain.ts";
import { style } from "./style.ts";

export function renderBacktrace(trace: PointTrace, names: Names, all: boolean): string[] {
  const { point, cpu, regime } = trace;
  const where = regime === undefined ? "" : `, in ${regime}`;
  const title = `${style.heading("Call chain")}  of vCPU ${cpu} at ${point}${where}`;
  return [title, ...renderTrace(trace, names, all)];
}
