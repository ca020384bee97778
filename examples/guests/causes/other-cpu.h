// Starting another vCPU by PSCI (Arm DEN 0022, 5.1.4), in the translation regime of this one.
#pragma once

#include "../handoff/guest.h"

#define PSCI_CPU_ON UINT64_C(0xc4000003)
#define OTHER_MPIDR UINT64_C(1) // affinity level 0 is the number of the vCPU on -M virt

// What join-regime.S loads, by these offsets, when the vCPU comes up with its MMU off.
struct arrival {
  uint64_t ttbr0, ttbr1, tcr, mair, vbar, traps, hcr, sctlr, stack, exception_stack, target;
};
_Static_assert(offsetof(struct arrival, stack) == 0x40, "join-regime.S");

// QEMU's PSCI is called by HVC, but by SMC where the guest has EL2 (hw/arm/virt.c).
static inline uint64_t call_psci(uint64_t function, uint64_t a, uint64_t b, uint64_t c) {
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

// Where the other vCPU will be, all but its stacks and its target.
static inline void copy_regime(struct arrival *arrival) {
  struct registers r;
  read_registers(&r);
  arrival->ttbr0 = r.ttbr0;
  arrival->ttbr1 = r.ttbr1;
  arrival->tcr = r.tcr;
  arrival->mair = r.mair;
  arrival->vbar = r.vbar;
  arrival->sctlr = r.sctlr;
  // Whether SIMD registers are trapped: the firmware's exception handler saves them.
  arrival->traps = current_el() == 1 ? READ_REGISTER(cpacr_el1) : READ_REGISTER(cptr_el2);
  arrival->hcr = current_el() == 1 ? 0 : READ_REGISTER(hcr_el2);
}
