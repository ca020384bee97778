// The functions that do the one wrong thing, with the addresses of the instructions concerned; and where a second vCPU
// comes up. They are what a compiler would make of the C in their comments, and have frame records, so that a debugger
// sees the whole call chain.

#include "join-regime.S"

  .text

.macro function name
  .globl \name
\name:
  stp x29, x30, [sp, #-16]!
  mov x29, sp
.endm

// `name`, for C: the address of the instruction that follows, kept as data. As a symbol in the code it would be what a
// debugger shows in the function's place.
.macro label name
.Lat_\name:
  .section .rdata, "dr"
  .globl \name
  .balign 8
\name:
  .quad .Lat_\name
  .text
.endm

.macro return
  ldp x29, x30, [sp], #16
  ret
.endm

// unset_hook();
function call_unset_hook
  adrp x8, unset_hook
  ldr x8, [x8, :lo12:unset_hook]
  blr x8
label call_unset_hook_return
  return

// table->con_out->output_string(table->con_out, text);
function print_on_console
  ldr x0, [x0, #0x40]       // EFI_SYSTEM_TABLE.ConOut
label print_on_console_load
  ldr x8, [x0, #8]          // EFI_SIMPLE_TEXT_OUTPUT_PROTOCOL.OutputString
  blr x8
label print_on_console_return
  return

// Xen's first question to the hypervisor's registers.
function read_hypervisor_register
label read_hypervisor_register_instruction
  mrs x9, hcr_el2
  return

// services->get_time(time, 0);
function call_get_time
  ldr x8, [x0, #0x18]       // EFI_RUNTIME_SERVICES.GetTime
  mov x0, x1
  mov x1, #0
label call_get_time_instruction
  blr x8
label call_get_time_return
  return

// return *(uint64_t *)target;
function read_unmapped
label read_unmapped_instruction
  ldr x0, [x0]
  return

// *(uint64_t *)target = value;
function write_unmapped
label write_unmapped_instruction
  str x1, [x0]
  return

// return *(uint64_t *)target;
function read_unaligned
label read_unaligned_instruction
  ldr x0, [x0]
  return

// return *(uint64_t *)target;
function read_through_lost_table
label read_through_lost_table_instruction
  ldr x0, [x0]
  return

function take_breakpoint
label take_breakpoint_instruction
  brk #0
  return

// The stack of another world. The frame pointer still leads to the callers.
function push_on_unmapped_stack
  mov sp, x0
label push_on_unmapped_stack_instruction
  stp x29, x30, [sp, #-16]!
  mov sp, x29
  return

// ((void (*)(void))target)();
function branch_to_unmapped
  blr x0
label branch_to_unmapped_return
  return

// Where PSCI starts the other vCPU: x0 is a struct arrival.
  .globl other_cpu_entry
other_cpu_entry:
  join_regime
  mov x0, x12
  bl branch_to_unmapped
5:
  wfi
  b 5b
