/** The options that every benchmark takes. */
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "11" },
    qemu: { type: "string", default: "qemu-system-aarch64" },
  },
});

export const flags = { rounds: Number(values.rounds), qemu: values.qemu };
