// What cannot be said in C: the entry, the vectors, leaving an Exception level, and a fetch from an address that may
// fault.

  .section .text.start, "ax"
  .globl start
start:
  msr spsel, #1
  ldr x0, =0x43ff0000       // STACK_TOP of guest.h
  mov sp, x0
  bl main
1:
  wfi
  b 1b

  .text

// The vector table: 16 entries of 128 bytes, aligned to 2 KiB. All lead to one place.
  .balign 0x800
  .globl vectors
vectors:
  .rept 16
  .balign 0x80
  b taken
  .endr

// x9 = the current Exception level, then the instruction for it.
.macro by_level el1, el2, el3
  mrs x9, CurrentEL
  lsr x9, x9, #2
  cmp x9, #2
  b.eq 82f
  b.hi 83f
  \el1
  b 84f
82:
  \el2
  b 84f
83:
  \el3
84:
.endm

// An exception. While fetch() waits for one it ends the wait; otherwise it is the end of the program.
taken:
  ldr x10, =fetch_frame
  ldr x11, [x10, #96]
  cbz x11, 1f
  str xzr, [x10, #96]
  mov sp, x11
  ldp x19, x20, [x10, #0]
  ldp x21, x22, [x10, #16]
  ldp x23, x24, [x10, #32]
  ldp x25, x26, [x10, #48]
  ldp x27, x28, [x10, #64]
  ldp x29, x30, [x10, #80]
  by_level "mrs x0, esr_el1", "mrs x0, esr_el2", "mrs x0, esr_el3"
  ret
1:
  by_level "mrs x0, esr_el1", "mrs x0, esr_el2", "mrs x0, esr_el3"
  by_level "mrs x1, elr_el1", "mrs x1, elr_el2", "mrs x1, elr_el3"
  by_level "mrs x2, far_el1", "mrs x2, far_el2", "mrs x2, far_el3"
  b unexpected_exception

// uint64_t fetch(va, spsr): leaves for `va` with that PSTATE, and returns ESR_ELx of the exception that follows: either
// the fetch faults, or the instruction there is a BRK (or, in a vector of EL1, an HVC).
  .globl fetch
fetch:
  ldr x10, =fetch_frame
  stp x19, x20, [x10, #0]
  stp x21, x22, [x10, #16]
  stp x23, x24, [x10, #32]
  stp x25, x26, [x10, #48]
  stp x27, x28, [x10, #64]
  stp x29, x30, [x10, #80]
  mov x11, sp
  str x11, [x10, #96]
  by_level "msr elr_el1, x0", "msr elr_el2, x0", "msr elr_el3, x0"
  by_level "msr spsr_el1, x1", "msr spsr_el2, x1", "msr spsr_el3, x1"
  isb
  eret

// void leave_el3(scr), void leave_el2(hcr): return to the caller one Exception level lower, on the same stack, with the
// MMU of that level off and its vectors in place.
  .globl leave_el3
leave_el3:
  msr scr_el3, x0
  ldr x1, =0x30c50830       // SCTLR_EL2: RES1 only
  msr sctlr_el2, x1
  msr hcr_el2, xzr
  ldr x1, =vectors
  msr vbar_el2, x1
  mov x1, sp
  msr sp_el2, x1
  mov x1, #0x3c9            // EL2h, all masked
  msr spsr_el3, x1
  msr elr_el3, x30
  isb
  eret

  .globl leave_el2
leave_el2:
  msr hcr_el2, x0
  ldr x1, =0x30d00800       // SCTLR_EL1: RES1 only
  msr sctlr_el1, x1
  ldr x1, =vectors
  msr vbar_el1, x1
  mov x1, sp
  msr sp_el1, x1
  mov x1, #0x3c5            // EL1h, all masked
  msr spsr_el2, x1
  msr elr_el2, x30
  isb
  eret

  .bss
  .balign 16
fetch_frame:
  .skip 112                 // x19 to x30, sp; sp is 0 when nobody waits
