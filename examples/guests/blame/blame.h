// What the files of this application share, besides what they share with the guest `handoff`.
#pragma once

#include "../causes/more-uefi.h"
#include "../handoff/guest.h"

#define SEPARATE __attribute__((noinline)) // a function that is to be seen in a call chain

// A descriptor in memory, the level of its table and the first address it maps.
struct slot {
  volatile uint64_t *at;
  unsigned level;
  uint64_t va;
};

// --- log.c: what was done -------------------------------------------------------------------------------------------

// An instruction that did something. `frame` is the frame record of its function; the caller of a function without one
// is `leaf_return`, which is 0 otherwise.
struct deed {
  const char *function;
  uint64_t pc;
  const uint64_t *frame;
  uint64_t leaf_return;
};

// The function that contains this has the instruction at `pc_`.
#define HERE(pc_) (&(struct deed){ .function = __func__, .pc = (pc_), .frame = __builtin_frame_address(0) })
// A function without a frame, called by the one that contains this, has it.
#define LEAF(name_, pc_, return_) \
  (&(struct deed){ .function = (name_), .pc = (pc_), .frame = __builtin_frame_address(0), .leaf_return = (return_) })

void begin_deed(const struct deed *deed, const char *kind, const char *what);
void begin_same_deed(const struct deed *deed, const char *kind, const char *what); // the same instruction once more
void end_deed(const struct deed *deed);

// One line; the new value is read back from memory.
void log_store(const struct deed *deed, const char *kind, const struct slot *slot, uint64_t old);
void log_same_store(const struct deed *deed, const char *kind, const struct slot *slot, uint64_t old);
struct burst;
void log_burst(const struct deed *deed, const struct slot *slot, const struct burst *burst);
void log_register(const struct deed *deed, const char *name, uint64_t old, uint64_t now);
void blame_line(const char *words);

// --- area.c: memory of this application, and its descriptors --------------------------------------------------------

// Three ranges of 2 MiB, each aligned to its size.
struct area {
  uint64_t pages; // to be flipped; mapped by pages, as its tables lie in `pool`
  uint64_t block; // mapped by one block of 2 MiB
  uint64_t pool;  // for tables and code; mapped by pages
};
extern struct area area;

bool make_area(struct efi_boot_services *services);
uint64_t *take_page(void); // a page of the pool, zeroed; does not return if there is none
struct slot slot_in(uint64_t root, unsigned level, uint64_t va); // where the walk from a table ends
struct slot slot_of(uint64_t va);                                // in the live tables
struct slot page_slot(unsigned page);                            // of a page of area.pages
uint64_t live_root(void);
unsigned live_start_level(void);

// Stores a doubleword, by an instruction whose address becomes `pc`.
#define STORE(pc, to, value) \
  __asm__ volatile("adr %0, 0f\n0:\n\tstr %2, [%1]" : "=&r"(pc) : "r"(to), "r"(value) : "memory")

// Many stores to one descriptor by one instruction at `pc`: what it held before the first and after the last.
struct burst {
  uint64_t pc, old, now, count;
};

// Alternates between two values: the first store makes the page read-only. `count` is not 0.
static inline __attribute__((always_inline)) struct burst store_burst(const struct slot *slot, uint64_t count) {
  struct burst burst = { .old = *slot->at, .now = *slot->at, .count = count };
  __asm__ volatile("adr %0, 0f\n"
                   "1:\n\teor %1, %1, %4\n"
                   "0:\n\tstr %1, [%3]\n\t"
                   "subs %2, %2, #1\n\t"
                   "b.ne 1b"
                   : "=&r"(burst.pc), "+&r"(burst.now), "+&r"(count)
                   : "r"(slot->at), "r"(DESC_READ_ONLY)
                   : "memory", "cc");
  return burst;
}

// --- stores.c: each function changes a descriptor by an instruction of its own --------------------------------------

void make_read_only(const struct slot *slot);
void make_writable(const struct slot *slot);
void flip_execute(const struct slot *slot);
void change_memory_type(const struct slot *slot); // with break-before-make
void break_entry(const struct slot *slot);        // 0, and the translation is dropped
void make_entry(const struct slot *slot, uint64_t value);
void make_executable(const struct slot *slot);    // and read-only

// --- maintain.c -----------------------------------------------------------------------------------------------------

void invalidate_page(uint64_t va);
void invalidate_all(void);

// For preparations: nothing is logged.
static inline void forget_translations(void) {
  if (current_el() == 1)
    __asm__ volatile("dsb ishst\n\ttlbi vmalle1is\n\tdsb ish\n\tisb" ::: "memory");
  else
    __asm__ volatile("dsb ishst\n\ttlbi alle2is\n\tdsb ish\n\tisb" ::: "memory");
}

// --- The modes ------------------------------------------------------------------------------------------------------

struct options {
  uint64_t count; // n=
};

struct scene {
  struct efi_boot_services *boot_services;
  struct options options;
};

struct scenario {
  const char *name, *summary;
  bool (*prepare)(const struct scene *scene); // before the exit; false if it cannot be; may be null
  void (*run)(const struct scene *scene);     // inside ExitBootServices()
};

// The modes, by file.
void run_flips(const struct scene *scene);
void run_forms(const struct scene *scene);
void run_newtable(const struct scene *scene); // tree.c
void run_switch(const struct scene *scene);
void run_registers(const struct scene *scene);
void run_notlbi(const struct scene *scene);
bool prepare_hook(const struct scene *scene);
void run_hook(const struct scene *scene);
void run_many(const struct scene *scene);
void run_twocpus(const struct scene *scene);
