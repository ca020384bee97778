// A vCPU that comes up with its MMU off, and joins the translation regime of another: included by the files that have
// one.

// x0 is a struct arrival of other-cpu.h; x12 becomes its target. The regime is mapped one to one, so the code goes on
// at the same address. The frame record made next is the last of its chain.
.macro join_regime
  ldp x1, x2, [x0]          // TTBR0, TTBR1
  ldp x3, x4, [x0, #0x10]   // TCR, MAIR
  ldp x5, x6, [x0, #0x20]   // VBAR, CPACR or CPTR
  ldp x7, x8, [x0, #0x30]   // HCR, SCTLR
  ldp x9, x10, [x0, #0x40]  // the stack, the stack for exceptions
  ldr x12, [x0, #0x50]      // the target
  mrs x11, CurrentEL
  cmp x11, #(2 << 2)
  b.eq 2f
  msr cpacr_el1, x6
  msr ttbr1_el1, x2
  msr ttbr0_el1, x1
  msr tcr_el1, x3
  msr mair_el1, x4
  msr vbar_el1, x5
  isb
  tlbi vmalle1
  dsb sy
  isb
  msr sctlr_el1, x8
  b 4f
2:
  msr hcr_el2, x7
  isb
  tbz x7, #34, 3f           // HCR_EL2.E2H: TTBR1_EL2 is there
  msr s3_4_c2_c0_1, x2
3:
  msr cptr_el2, x6
  msr ttbr0_el2, x1
  msr tcr_el2, x3
  msr mair_el2, x4
  msr vbar_el2, x5
  isb
  tlbi alle2
  dsb sy
  isb
  msr sctlr_el2, x8
4:
  isb
  mov sp, x9
  msr sp_el0, x10
  mov x29, #0
  mov x30, #0
.endm
