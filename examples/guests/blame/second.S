// Where PSCI starts the second vCPU: x0 is a struct arrival.

#include "../causes/join-regime.S"

  .text
  .globl second_cpu_entry
second_cpu_entry:
  join_regime
  bl run_second_cpu
1:
  wfi
  b 1b
