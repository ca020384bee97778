// What cannot be said in C: code that must not touch memory, code whose addresses must be known, and the vectors.

  .text

// The vector table: 16 entries of 128 bytes, aligned to 2 KiB. All lead to one function that never
// returns, so nothing is saved; it is told the entry's offset.
  .balign 0x800
  .globl vectors
vectors:
  .set offset, 0
  .rept 16
  .balign 0x80
  mov x0, #offset
  b unexpected_exception
  .set offset, offset + 0x80
  .endr

// void switch_tables_elN(ttbr0, tcr, mair, vbar): replaces the translation regime this code runs in. TCR, MAIR and
// TTBR0 cannot change in one step, so the MMU is off meanwhile; this code is mapped one to one before and after, and
// makes no memory access in between.
.macro switch_tables el, tlbi
  .globl switch_tables_\el
switch_tables_\el:
  mrs x4, sctlr_\el
  bic x5, x4, #1            // SCTLR.M
  dsb sy                    // the tables are written
  msr sctlr_\el, x5
  isb
  msr mair_\el, x2
  msr tcr_\el, x1
  msr ttbr0_\el, x0
  msr vbar_\el, x3
  isb
  tlbi \tlbi
  dsb sy
  isb
  msr sctlr_\el, x4
  isb
  ret
.endm

  switch_tables el1, vmalle1
  switch_tables el2, alle2

// void write_sctlr_elN(value)
.macro write_sctlr el, tlbi
  .globl write_sctlr_\el
write_sctlr_\el:
  dsb sy
  msr sctlr_\el, x0
  isb
  tlbi \tlbi
  dsb sy
  isb
  ret
.endm

  write_sctlr el1, vmalle1
  write_sctlr el2, alle2

// void call_stall(boot_services, microseconds): what a compiler makes of boot_services->Stall(microseconds).
  .globl call_stall
  .globl call_stall_return
call_stall:
  stp x29, x30, [sp, #-16]!
  mov x29, sp
  ldr x8, [x0, #0xf8]       // EFI_BOOT_SERVICES.Stall
  mov x0, x1
  blr x8
call_stall_return:
  ldp x29, x30, [sp], #16
  ret

// void call_address(target)
  .globl call_address
  .globl call_address_return
call_address:
  stp x29, x30, [sp, #-16]!
  mov x29, sp
  blr x0
call_address_return:
  ldp x29, x30, [sp], #16
  ret

// void store_word(target, value)
  .globl store_word
  .globl store_word_instruction
store_word:
store_word_instruction:
  str w1, [x0]
  ret
