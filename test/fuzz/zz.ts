import { WORST_IMAGES } from "./worst-images.ts";

for (const w of WORST_IMAGES) {
  const m = w.memory();
  const c = process.cpuUsage();
  const h = process.memoryUsage();
  const n = await w.run(m);
  const u = process.cpuUsage(c);
  const h2 = process.memoryUsage();
  console.log(
    w.name,
    n,
    m.bytesRead,
    m.batches.length,
    (u.user + u.system) / 1000,
    ((h2.heapUsed + h2.external - h.heapUsed - h.external) / 2 ** 20).toFixed(1),
  );
}
