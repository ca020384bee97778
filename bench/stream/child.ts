/** A process of the benchmark, as the main one sees it. */
import { type ChildProcess, fork } from "node:child_process";
import {
  argumentsFor,
  type ClientOrder,
  type Lasts,
  type Order,
  type Place,
  type Seen,
  type Vitals,
} from "./common.ts";

class Child<Out extends object> {
  readonly process: ChildProcess;

  constructor(module: string, role: string) {
    this.process = fork(module, argumentsFor(role));
    this.process.once("exit", (code) => {
      // One that died would be waited for without end.
      if (code !== 0) throw new Error(`the process of ${role} died`);
    });
  }

  send(order: Out): void {
    this.process.send(order);
  }

  next<T>(fits: (message: object) => boolean): Promise<T> {
    return new Promise((resolve) => {
      const look = (message: unknown): void => {
        if (!fits(message as object)) return;
        this.process.off("message", look);
        resolve(message as T);
      };
      this.process.on("message", look);
    });
  }
}

export class ServerChild extends Child<Order> {
  readonly place: Promise<Place>;
  vitals: Vitals = { rss: 0, cpu: 0, head: 0 };
  /** Bytes. */
  mostRss = 0;

  constructor(module: string, role: string) {
    super(module, role);
    this.place = this.next<Place>((message) => "port" in message);
    this.process.on("message", (message: Vitals | Place) => {
      if (!("rss" in message)) return;
      this.vitals = message;
      this.mostRss = Math.max(this.mostRss, message.rss);
    });
  }
}

export class ClientsChild extends Child<ClientOrder> {
  constructor(module: string) {
    super(module, "clients");
  }

  report(): Promise<readonly Seen[]> {
    const found = this.next<readonly Seen[]>(Array.isArray);
    this.send({ ask: "report" });
    return found;
  }

  async lasts(): Promise<readonly number[]> {
    const found = this.next<Lasts>((message) => "lasts" in message);
    this.send({ ask: "lasts" });
    return (await found).lasts;
  }
}
