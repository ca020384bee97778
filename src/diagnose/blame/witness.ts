/** From where an event is looked at: the point that was taken last before it says where things are, as the vCPU saw them that wrote. */
import { regimeNameAt } from "../../aarch64/regime.ts";
import type { Regime } from "../../aarch64/regime-model.ts";
import { Translator } from "../../aarch64/translate.ts";
import { bit, bitsNumber } from "../../base/bits.ts";
import type { Replay } from "../../blame/index.ts";
import { PointView } from "../../diff/point-view.ts";
import { pointPages } from "../../snapshot/model.ts";

/** Who would say what an address of an event is. */
export interface Witness {
  /** Equal for events that are looked at from the same place. */
  readonly key: string;
  readonly view: PointView;
  /** That the code executed in; undefined when it is not live at the point, or not known. */
  readonly regime: Regime | undefined;
  readonly translator: Translator | undefined;
  /** The Exception level; undefined when it is not known. */
  readonly level: number | undefined;
}

export class Witnesses {
  readonly #replay: Replay;
  readonly #known = new Map<string, Witness | undefined>();

  constructor(replay: Replay) {
    this.#replay = replay;
  }

  /** Undefined in a capture without a point. */
  of(event: number): Witness | undefined {
    const { record } = this.#replay;
    const { cpu = 0, stack } = record.events[event] ?? {};
    const sample = stack === undefined ? undefined : record.stacks[stack];
    const level = sample === undefined ? this.#replay.mode(event).level : levelOf(sample.cpsr);
    const point = this.#pointBefore(event);
    const key = `${point} ${cpu} ${level}`;
    if (this.#known.has(key)) return this.#known.get(key);
    const witness = this.#make(key, point, cpu, level);
    this.#known.set(key, witness);
    return witness;
  }

  #make(key: string, index: number, cpu: number, level: number | undefined): Witness | undefined {
    const { capture } = this.#replay;
    const point = capture.points[index];
    if (point === undefined) return undefined;
    const view = new PointView(capture, point, cpu);
    const name = level === undefined ? view.currentRegime : regimeNameAt(level, view.registers);
    const regime = view.regimes.find((each) => each.name === name);
    const translator = regime && new Translator(regime, pointPages(point));
    return { key, view, regime, translator, level };
  }

  /** The index of the point; of what came before the first one, that. */
  #pointBefore(event: number): number {
    const { points } = this.#replay;
    let [low, high] = [0, points.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((points[middle] as { event: number }).event <= event) low = middle + 1;
      else high = middle;
    }
    return points[Math.max(low - 1, 0)]?.point ?? 0;
  }
}

/** PSTATE: M[4] is AArch32 state, M[3:2] the Exception level. */
function levelOf(cpsr: bigint): number | undefined {
  return bit(cpsr, 4) ? undefined : bitsNumber(cpsr, 3, 2);
}
