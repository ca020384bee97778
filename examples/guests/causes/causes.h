// What the files of this application share, besides what they share with the guest `handoff`.
#pragma once

#include "../handoff/guest.h"
#include "more-uefi.h"

// --- What a mode knows ---------------------------------------------------------------------------------------------

struct scene {
  struct efi_system_table *system_table;
  struct efi_boot_services *boot_services; // this and the next: as they were before the exit
  struct efi_runtime_services *runtime_services;
  uint64_t image_base, image_size, ram_end;
};

struct cause {
  const char *name, *summary;
  bool (*prepare)(const struct scene *scene); // with boot services; false if it cannot be; may be null
  void (*run)(const struct scene *scene);     // after the exit; may be null
};

// --- Changing the machine ------------------------------------------------------------------------------------------

static inline uint64_t read_vbar(void) {
  return current_el() == 1 ? READ_REGISTER(vbar_el1) : READ_REGISTER(vbar_el2);
}

static inline void write_vbar(uint64_t value) {
  if (current_el() == 1)
    __asm__ volatile("msr vbar_el1, %0\n\tisb" ::"r"(value) : "memory");
  else
    __asm__ volatile("msr vbar_el2, %0\n\tisb" ::"r"(value) : "memory");
}

// After a change of live translation tables: every copy in a TLB is dropped before the next access (D8.16).
static inline void forget_translations(void) {
  if (current_el() == 1)
    __asm__ volatile("dsb ishst\n\ttlbi vmalle1is\n\tdsb ish\n\tisb" ::: "memory");
  else
    __asm__ volatile("dsb ishst\n\ttlbi alle2is\n\tdsb ish\n\tisb" ::: "memory");
}

// live-entry.c: the firmware's translation tables, to be changed.
struct entry {
  volatile uint64_t *at; // where the walk ended: a leaf, or an entry that says there is nothing
  unsigned level;
};
struct entry find_entry(uint64_t va);
bool change_entry(struct entry entry, uint64_t descriptor); // false, with a line, if the table cannot be written
bool make_writable(uint64_t va);
uint64_t find_hole(uint64_t from); // does not return if there is none

// mmu.c
void turn_mmu_off(const struct scene *scene); // prints SCTLR before and after

// The modes, by file.
void run_null_branch(const struct scene *scene); // calls.c
void run_console(const struct scene *scene);
void run_el2_register(const struct scene *scene);
void run_runtime_nx(const struct scene *scene);
void run_unmapped_read(const struct scene *scene); // memory.c
void run_unmapped_write(const struct scene *scene);
void run_unaligned(const struct scene *scene);
bool prepare_tables_reused(const struct scene *scene);
void run_tables_reused(const struct scene *scene);
void run_wx_null(const struct scene *scene);
void run_vectors_reused(const struct scene *scene); // vectors.c
void run_vbar_unmapped(const struct scene *scene);
void run_stack_unmapped(const struct scene *scene);
bool prepare_hooked(const struct scene *scene); // hooks.c
bool prepare_mmu_off_return(const struct scene *scene);
bool prepare_mmu_off_event(const struct scene *scene);
void run_other_cpu(const struct scene *scene); // cpus.c

// wrong.S: the functions that do the one wrong thing, with the addresses of the instructions that do it, or of the ones
// after the calls.
extern void (*unset_hook)(void);
void call_unset_hook(void);
void print_on_console(const struct efi_system_table *table, const uint16_t *text);
void read_hypervisor_register(void);
void call_get_time(struct efi_runtime_services *services, void *time);
uint64_t read_unmapped(uint64_t target);
void write_unmapped(uint64_t target, uint64_t value);
uint64_t read_unaligned(uint64_t target);
uint64_t read_through_lost_table(uint64_t target);
void take_breakpoint(void);
void push_on_unmapped_stack(uint64_t sp);
void branch_to_unmapped(uint64_t target);
extern const uint64_t call_unset_hook_return, print_on_console_load, print_on_console_return;
extern const uint64_t read_hypervisor_register_instruction, call_get_time_return;
extern const uint64_t call_get_time_instruction, read_unmapped_instruction, write_unmapped_instruction;
extern const uint64_t read_unaligned_instruction, read_through_lost_table_instruction, take_breakpoint_instruction;
extern const uint64_t push_on_unmapped_stack_instruction, branch_to_unmapped_return;
