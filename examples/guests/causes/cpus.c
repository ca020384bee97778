// Mode `other-cpu`: starts a second vCPU by PSCI (Arm DEN 0022, 5.1.4), in the same translation regime, and waits.
#include "causes.h"

#define PSCI_CPU_ON UINT64_C(0xc4000003)
#define OTHER_MPIDR UINT64_C(1) // affinity level 0 is the number of the vCPU on -M virt

// What wrong.S loads, by these offsets, when the vCPU comes up with its MMU off.
struct arrival {
  uint64_t ttbr0, ttbr1, tcr, mair, vbar, traps, hcr, sctlr, stack, exception_stack, target;
};
_Static_assert(offsetof(struct arrival, stack) == 0x40, "wrong.S");
void other_cpu_entry(void);

// edk2 takes exceptions on SP_EL0, so that a lost stack does not stop it from reporting.
static uint8_t stack[16 * 1024] __attribute__((aligned(16)));
static uint8_t exception_stack[16 * 1024] __attribute__((aligned(16)));
static struct arrival arrival;

// QEMU's PSCI is called by HVC, but by SMC where the guest has EL2 (hw/arm/virt.c).
static uint64_t call_psci(uint64_t function, uint64_t a, uint64_t b, uint64_t c) {
  register uint64_t x0 __asm__("x0") = function;
  register uint64_t x1 __asm__("x1") = a;
  register uint64_t x2 __asm__("x2") = b;
  register uint64_t x3 __asm__("x3") = c;
  if (current_el() == 1)
    __asm__ volatile("hvc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)::"memory");
  else
    __asm__ volatile("smc #0" : "+r"(x0), "+r"(x1), "+r"(x2), "+r"(x3)::"memory");
  return x0;
}

static void copy_regime(void) {
  struct registers r;
  read_registers(&r);
  arrival.ttbr0 = r.ttbr0;
  arrival.ttbr1 = r.ttbr1;
  arrival.tcr = r.tcr;
  arrival.mair = r.mair;
  arrival.vbar = r.vbar;
  arrival.sctlr = r.sctlr;
  // Whether SIMD registers are trapped: the firmware's exception handler saves them.
  arrival.traps = current_el() == 1 ? READ_REGISTER(cpacr_el1) : READ_REGISTER(cptr_el2);
  arrival.hcr = current_el() == 1 ? 0 : READ_REGISTER(hcr_el2);
}

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

void run_other_cpu(const struct scene *scene) {
  copy_regime();
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
