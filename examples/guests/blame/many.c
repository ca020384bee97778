// Mode `many`: one descriptor is stored to n times, as fast as can be, by one instruction.
#include "blame.h"

SEPARATE static void store_many(const struct slot *slot, uint64_t count) {
  struct burst burst = store_burst(slot, count);
  log_burst(HERE(burst.pc), slot, &burst);
}

void run_many(const struct scene *scene) {
  struct slot slot = page_slot(0);
  if (scene->options.count) store_many(&slot, scene->options.count);
  invalidate_all();
}
