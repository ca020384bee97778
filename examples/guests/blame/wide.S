// Stores of more than one descriptor, in functions without frame records: a call chain has their caller in X30 only.

  .text

// `name`, for C: the address of the instruction that follows, kept as data, so that no symbol lies within a function.
.macro label name
.Lat_\name:
  .section .rdata, "dr"
  .globl \name
  .balign 8
\name:
  .quad .Lat_\name
  .text
.endm

// uint64_t store_two(at, first, second): one instruction stores both; returns where it was called from.
  .globl store_two
store_two:
label store_two_instruction
  stp x1, x2, [x0]
  mov x0, x30
  ret

// uint64_t store_vector(at, values): one SIMD store of 16 bytes. The build allows C no SIMD registers; a callee may use
// Q0.
  .globl store_vector
store_vector:
  .arch armv8-a+simd
  ldr q0, [x1]
label store_vector_instruction
  str q0, [x0]
  mov x0, x30
  ret

// uint64_t store_cleared_line(at): DC ZVA stores zeroes to the whole block that `at` lies in.
  .globl store_cleared_line
store_cleared_line:
label store_cleared_line_instruction
  dc zva, x0
  mov x0, x30
  ret

// Code for registers.c to copy. It is data here, so that no search of the image's code finds it.
  .section .rdata, "dr"
  .balign 4
.macro write_mair el
  .globl write_mair_\el
write_mair_\el:
  msr mair_\el, x0
  isb
  mov x0, x30
  ret
.endm
  write_mair el1
  write_mair el2
