/**
 * One session in which everything that can happen at some moment happens at another: what is under way arrives later and in other pieces,
 * the guest stops by itself while it is being interrupted, others read meanwhile. One event after the other, in an order that the seed
 * decides, and seconds may pass between two of them. Each read is held against its address, and each stop against the resume that it belongs to.
 */
import { EbscopeError } from "../../src/base/error.ts";
import { Connection } from "../../src/rsp/connection.ts";
import { settled } from "./fake-transport.ts";
import { HonestStub, type Manners, memoryBytes, registerValue } from "./honest-stub.ts";
import { MemoryLine } from "./memory-line.ts";
import { Random } from "./random.ts";
import { VirtualTime } from "./virtual-time.ts";

export interface RaceCase {
  readonly manners: Manners;
  readonly mode: "strict" | "implied" | "none";
  readonly seed: number;
}

export interface RaceOutcome {
  /** Reads that were answered, and those refused because the guest ran. */
  reads: number;
  refusedReads: number;
  stops: number;
  /** Stops that nobody waited for, and that were no stop of the resume before. */
  unsolicited: number;
  interrupts: number;
  /** All that must not be. */
  readonly wrong: string[];
}

const CYCLES = 5;
const READERS = 2;

/** Longer than any race: how long it takes is not what it is about. */
const FOREVER_MS = 1e9;

export async function race(options: RaceCase): Promise<RaceOutcome> {
  using time = new VirtualTime();
  const world = new World(options, time);
  await world.run();
  return world.outcome;
}

class World {
  readonly outcome: RaceOutcome = { reads: 0, refusedReads: 0, stops: 0, unsolicited: 0, interrupts: 0, wrong: [] };
  readonly #options: RaceCase;
  readonly #random: Random;
  readonly #time: VirtualTime;
  readonly #line = new MemoryLine();
  readonly #stub: HonestStub;
  readonly #connection: Connection;
  /** What the guest and the stub are about to do. */
  #pending: (() => void)[] = [];
  /** Actors who wait for their turn. */
  #asleep: (() => void)[] = [];
  #resumes = 0;
  #over = false;

  constructor(options: RaceCase, time: VirtualTime) {
    this.#options = options;
    this.#time = time;
    this.#random = new Random(options.seed);
    this.#stub = new HonestStub({
      manners: options.manners,
      seed: options.seed,
      send: (bytes) => this.#line.put("to-client", bytes),
      onResume: (count) => this.#guestRuns(count),
      onInterrupt: () => this.#pending.push(() => this.#stub.stop(2)),
    });
    this.#connection = new Connection(this.#line, {
      deadlineMs: FOREVER_MS,
      maxInFlight: this.#random.pick([1, 3, 512]),
    });
    this.#watchWrites();
  }

  async run(): Promise<void> {
    const readers = Array.from({ length: READERS }, () => this.#reader());
    const actors = Promise.all([this.#runner(), ...readers]).catch((error: unknown) => this.#failed(error));
    let done = false;
    void actors.then(() => {
      done = true;
    });
    for (let steps = 0; !done; steps++) {
      await settled();
      if (!done && (!this.#step() || steps > 20_000)) {
        this.outcome.wrong.push("nothing happens any more");
        break;
      }
    }
    this.outcome.unsolicited = this.#connection.unsolicited.length;
    if (this.#stub.stray !== "") this.outcome.wrong.push(`stray bytes: ${JSON.stringify(this.#stub.stray)}`);
    await this.#connection.close();
    await actors;
  }

  #failed(error: unknown): void {
    this.outcome.wrong.push(error instanceof EbscopeError ? `${error.code}: ${error.message}` : String(error));
  }

  /** Whatever is written while the guest runs, but the resume itself and 0x03, would stop it. */
  #watchWrites(): void {
    const line = this.#line;
    const write = line.write.bind(line);
    line.write = (bytes) => {
      const text = Buffer.from(bytes).toString("latin1");
      if (this.#connection.running && text !== "\x03" && !/\$(c#63|vCont;c#a8)$/.test(text)) {
        this.outcome.wrong.push(`written while the guest runs: ${JSON.stringify(text)}`);
      }
      write(bytes);
    };
  }

  /** One event of those that may come next; false when there is none. */
  #step(): boolean {
    const { waiting } = this.#line;
    const events: (() => void)[] = [];
    if (waiting["to-stub"].length > 0) events.push(() => this.#stub.receive(this.#piece("to-stub")));
    if (waiting["to-client"].length > 0) events.push(() => this.#line.toClient(this.#piece("to-client")));
    if (this.#asleep.length > 0) events.push(() => takeAny(this.#asleep, this.#random)());
    // Last, and not always: then what is under way comes first mostly.
    if (this.#pending.length > 0 && (events.length === 0 || this.#random.chance(0.5))) {
      events.push(() => takeAny(this.#pending, this.#random)());
    }
    if (events.length === 0) return false;
    if (this.#random.chance(0.05)) this.#time.pass(this.#random.below(3000));
    this.#random.pick(events)();
    return true;
  }

  /** The next bytes that are under way: a few or all of them. */
  #piece(direction: "to-stub" | "to-client"): string {
    const all = this.#line.waiting[direction].splice(0).join("");
    const length = this.#random.chance(0.5) ? all.length : this.#random.between(1, all.length);
    if (length < all.length) this.#line.waiting[direction].push(all.slice(length));
    return all.slice(0, length);
  }

  /** The guest stops by itself some time, or only when it is asked to. */
  #guestRuns(count: number): void {
    if (this.#random.chance(0.3)) return;
    this.#pending.push(() => {
      if (this.#stub.resumes === count) this.#stub.stop(5);
    });
    // QEMU tells of a stop again when its monitor stops the machine once more.
    if (this.#options.mode === "implied" && this.#random.chance(0.3)) this.#pending.push(() => this.#tellAgain(count));
  }

  #tellAgain(count: number): void {
    if (!this.#stub.running && !this.#stub.midRequest && this.#stub.resumes === count)
      this.#stub.reply(this.#stub.stopText(5));
  }

  #turn(): Promise<void> {
    return new Promise((resolve) => this.#asleep.push(resolve));
  }

  async #runner(): Promise<void> {
    if (this.#options.mode === "implied") await this.#connection.implyAcks();
    if (this.#options.mode === "none") await this.#connection.startNoAckMode();
    for (let cycle = 0; cycle < CYCLES; cycle++) {
      for (let turns = this.#random.below(4); turns > 0; turns--) await this.#turn();
      if (this.#random.chance(0.5)) void this.#read();
      await this.#connection.resume(this.#random.pick(["c", "vCont;c"]));
      this.#resumes++;
      await this.#stopped();
    }
    this.#over = true;
  }

  /** Waits for the stop in one of the ways in which that is done, and interrupts where it may not come by itself. */
  async #stopped(): Promise<void> {
    const late = this.#random.chance(0.3);
    if (late) await this.#turn();
    const impatient = this.#random.chance(0.3) ? new AbortController() : undefined;
    const stop = this.#connection.nextStop(impatient?.signal);
    const given = stop.then(
      (came) => this.#check(came.kind === "signal" ? came.thread : came.kind),
      (error: EbscopeError) => {
        if (impatient === undefined || error.code !== "interrupted") throw error;
        return "given up";
      },
    );
    for (let turns = this.#random.below(6); turns > 0; turns--) await this.#turn();
    impatient?.abort();
    this.#interrupt();
    if ((await given) !== "given up") return;
    const again = await this.#connection.nextStop();
    this.#check(again.kind === "signal" ? again.thread : again.kind);
  }

  #interrupt(): void {
    for (let times = this.#random.between(1, 2); times > 0; times--) {
      if (this.#connection.running) this.outcome.interrupts++;
      this.#connection.interrupt();
    }
  }

  #check(thread: string | undefined): void {
    this.outcome.stops++;
    const due = this.#resumes.toString(16);
    if (thread !== due) this.outcome.wrong.push(`resume ${due} was told of the stop of ${thread}`);
  }

  async #reader(): Promise<void> {
    while (!this.#over) {
      for (let turns = this.#random.between(1, 5); turns > 0; turns--) await this.#turn();
      if (!this.#over) await this.#read();
    }
  }

  /** Some reads at once, in one of the ways in which that is done. */
  async #read(): Promise<void> {
    const count = this.#random.pick([1, 1, 4, 20]);
    const requests = Array.from({ length: count }, () => this.#anyRead());
    try {
      const answers = this.#random.chance(0.5)
        ? await Promise.all(requests.map(({ payload }) => this.#connection.requestText(payload, { label: payload })))
        : await this.#connection.batch(
            requests.map(({ payload }) => ({ payload, label: payload })),
            (bytes) => Buffer.from(bytes).toString("latin1"),
          );
      answers.forEach((answer, i) => {
        this.outcome.reads++;
        if (answer !== requests[i]?.due) this.outcome.wrong.push(`${requests[i]?.payload} was answered with ${answer}`);
      });
    } catch (error) {
      const running = error instanceof EbscopeError && error.message.startsWith("Cannot do this while the guest runs");
      if (running) this.outcome.refusedReads += count;
      else if (!this.#connection.closed) throw error;
    }
  }

  #anyRead(): { payload: string; due: string } {
    const { seed } = this.#options;
    const number = this.#random.below(0x400);
    if (this.#random.chance(0.3)) return { payload: `p${number.toString(16)}`, due: registerValue(number, seed) };
    const address = this.#random.next();
    const length = this.#random.between(1, 40);
    const due = memoryBytes(address, length, seed).toString("hex");
    return { payload: `m${address.toString(16)},${length.toString(16)}`, due };
  }
}

function takeAny(list: (() => void)[], random: Random): () => void {
  return list.splice(random.below(list.length), 1)[0] as () => void;
}
