// Mode `twocpus`: a second vCPU stores to a descriptor of its own while the first one does. They share a page of
// tables.
#include "../causes/other-cpu.h"
#include "blame.h"

#define STACK_SIZE (16 * 1024)

void second_cpu_entry(void); // in second.S
_Noreturn void run_second_cpu(void);

// edk2 takes exceptions on SP_EL0.
static uint8_t stack[STACK_SIZE] __attribute__((aligned(16)));
static uint8_t exception_stack[STACK_SIZE] __attribute__((aligned(16)));
static struct arrival arrival;
static uint64_t second_count;

// Where the two are, in order; each waits for the other's step.
enum { STARTING, READY, STORING, STORED, PRINTING, PRINTED };
static volatile unsigned step;

static void go_on(unsigned to) {
  __asm__ volatile("dmb ish" ::: "memory");
  step = to;
}

static void wait_for(unsigned wanted) {
  while (step < wanted) __asm__ volatile("yield");
  __asm__ volatile("dmb ish" ::: "memory");
}

// Alternates between two values, as store_many() does. The first vCPU prints first.
SEPARATE static void store_on_second(const struct slot *slot, uint64_t count) {
  struct burst burst = store_burst(slot, count);
  go_on(STORED);
  wait_for(PRINTING);
  log_burst(HERE(burst.pc), slot, &burst);
}

// Called by second.S, in the same regime.
_Noreturn void run_second_cpu(void) {
  struct slot slot = page_slot(256);
  go_on(READY);
  wait_for(STORING);
  store_on_second(&slot, second_count);
  go_on(PRINTED);
  idle();
}

static void start_second(void) {
  copy_regime(&arrival);
  arrival.stack = (uint64_t)stack + sizeof stack;
  arrival.exception_stack = (uint64_t)exception_stack + sizeof exception_stack;
  clean_to_memory((uint64_t)&arrival, (uint64_t)(&arrival + 1));
  uint64_t status = call_psci(PSCI_CPU_ON, OTHER_MPIDR, (uint64_t)second_cpu_entry, (uint64_t)&arrival);
  if (!status) return;
  blame_line("cannot start the other vCPU: start QEMU with -smp 2");
  idle();
}

SEPARATE static void store_on_first(const struct slot *slot, uint64_t count) {
  go_on(STORING);
  struct burst burst = store_burst(slot, count);
  wait_for(STORED);
  log_burst(HERE(burst.pc), slot, &burst);
}

void run_twocpus(const struct scene *scene) {
  struct slot slot = page_slot(0);
  second_count = scene->options.count;
  if (!second_count) return;
  start_second();
  wait_for(READY);
  store_on_first(&slot, scene->options.count);
  go_on(PRINTING);
  wait_for(PRINTED);
  invalidate_all();
}
