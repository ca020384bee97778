// What the files of this application share.
#pragma once

#include "arch.h"
#include "uefi.h"

// QEMU's virt board (hw/arm/virt.c, base_memmap)
#define GIC_BASE UINT64_C(0x08000000)
#define GIC_SIZE UINT64_C(0x00200000) // its first 2 MiB; no mapping touches another, so each stays a range of its own
#define UART_BASE UINT64_C(0x09000000)
#define RAM_BASE UINT64_C(0x40000000)

// print.c: one line is begin(), fields and words, end().
void begin(const char *words);
void word(const char *text);
void field(const char *key, uint64_t value);
void field_text(const char *key, const char *value);
void end(void);
void line(const char *words);
void print_registers(const struct registers *r); // the fields of a line

// What a mode knows of the machine.
struct machine {
  struct efi_boot_services *boot_services; // the pointer as it was before the exit
  uint64_t image_base, image_size, ram_end;
  uint64_t data_page; // a page of EfiBootServicesData, for exec-nx
};

// live.c: the translation tables in use.
struct leaf {
  unsigned level; // the level the walk ended at
  bool mapped, writable, executable;
};
struct leaf find_leaf(uint64_t va);

// tables.c
void run_tables(const struct machine *machine);

// modes.c
struct mode {
  const char *name, *summary;
  bool stale_key;                            // the first exit is tried with an outdated map key
  void (*run)(const struct machine *machine); // after the exit
};
extern const struct mode modes[];
extern const unsigned mode_count;
