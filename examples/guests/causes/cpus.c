// Mode `other-cpu`: starts a second vCPU by PSCI (Arm DEN 0022, 5.1.4), in the same translation regime, and waits.
#include "causes.h"
#include "other-cpu.h"

void other_cpu_entry(void);

// edk2 takes exceptions on SP_EL0, so that a lost stack does not stop it from reporting.
static uint8_t stack[16 * 1024] __attribute__((aligned(16)));
static uint8_t exception_stack[16 * 1024] __attribute__((aligned(16)));
static struct arrival arrival;

static void print_arrival(void) {
  begin("cpu-on");
  field("mpidr", OTHER_MPIDR);
  field_text("conduit", current_el() == 1 ? "hvc" : "smc");
  field("entry", (uint64_t)other_cpu_entry);
  field("stack", arrival.stack);
  field("exception-stack", arrival.exception_stack);
  field("target", arrival.target);
  field("level", find_leaf(arrival.target).level);
  field("return-address", branch_to_unmapped_return);
  end();
}

static void copy_this_regime(void) { copy_regime(&arrival); }

void run_other_cpu(const struct scene *scene) {
  copy_this_regime();
  arrival.stack = (uint64_t)stack + sizeof stack;
  arrival.exception_stack = (uint64_t)exception_stack + sizeof exception_stack;
  arrival.target = find_hole(scene->ram_end) + 0x7000;
  print_arrival();
  clean_to_memory(scene->image_base, scene->image_base + scene->image_size);
  uint64_t status = call_psci(PSCI_CPU_ON, OTHER_MPIDR, (uint64_t)other_cpu_entry, (uint64_t)&arrival);
  if (!status) idle(); // nothing is printed any more: two vCPUs would mix their lines
  begin("cannot start the other vCPU: start QEMU with -smp 2");
  field("status", status);
  end();
}
