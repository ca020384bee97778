// Lines about what was done: `blame: SEQ FUNCTION KIND WHAT key=value…`. They go to the UART, as the firmware's console may
// be gone.
#include "blame.h"

#define MAX_CHAIN 16
#define MAX_STACK UINT64_C(0x100000)

static unsigned sequence;

// vCPU 0 does nearly everything; the other one says so.
#define CPU (READ_REGISTER(mpidr_el1) & 0xff)

static void put(char c) {
  while (*(volatile uint32_t *)(UART_BASE + 0x18) & 1u << 5) continue; // UARTFR.TXFF
  *(volatile uint32_t *)UART_BASE = (uint8_t)c;
}

static void put_text(const char *text) {
  while (*text) put(*text++);
}

static void put_decimal(unsigned value) {
  if (value > 9) put_decimal(value / 10);
  put('0' + value % 10);
}

static void put_chain_address(bool first, uint64_t address) {
  if (!first) put(',');
  put_text("0x");
  int shift = 60;
  while (shift > 0 && !(address >> shift)) shift -= 4;
  for (; shift >= 0; shift -= 4) put("0123456789abcdef"[address >> shift & 0xf]);
}

// Return addresses by the frame records (AAPCS64, 6.4.6): the caller's record, then the return address into the caller.
// The firmware's records follow this application's; the walk ends where one does not lie above the one before.
static void put_chain(const struct deed *deed) {
  const uint64_t *frame = deed->frame, *limit = frame + MAX_STACK / sizeof *frame;
  unsigned count = 0;
  put_text(" chain=");
  if (deed->leaf_return) put_chain_address(!count++, deed->leaf_return);
  while (count < MAX_CHAIN) {
    const uint64_t *next = (const uint64_t *)frame[0];
    if (!frame[1]) return;
    put_chain_address(!count++, frame[1]);
    if (next <= frame || next > limit || (uint64_t)next % sizeof *next) return;
    frame = next;
  }
}

void begin_same_deed(const struct deed *deed, const char *kind, const char *what) {
  put_text("blame: ");
  put_decimal(sequence);
  word(deed->function);
  word(kind);
  word(what);
}

void begin_deed(const struct deed *deed, const char *kind, const char *what) {
  sequence++;
  begin_same_deed(deed, kind, what);
}

void end_deed(const struct deed *deed) {
  field("pc", deed->pc);
  if (CPU) field("cpu", CPU);
  put_chain(deed);
  end();
}

static void put_store(const struct deed *deed, const struct slot *slot, uint64_t old) {
  field("old", old);
  field("new", *slot->at);
  field("at", (uint64_t)slot->at);
  field("va", slot->va);
  end_deed(deed);
}

static const char *table_name(const struct slot *slot) {
  static const char names[][3] = { "L0", "L1", "L2", "L3" };
  return names[slot->level];
}

void log_store(const struct deed *deed, const char *kind, const struct slot *slot, uint64_t old) {
  begin_deed(deed, kind, table_name(slot));
  put_store(deed, slot, old);
}

void log_same_store(const struct deed *deed, const char *kind, const struct slot *slot, uint64_t old) {
  begin_same_deed(deed, kind, table_name(slot));
  put_store(deed, slot, old);
}

// One line for all stores.
void log_burst(const struct deed *deed, const struct slot *slot, const struct burst *burst) {
  begin_deed(deed, "many", table_name(slot));
  field("old", burst->old);
  field("new", *slot->at);
  field("at", (uint64_t)slot->at);
  field("va", slot->va);
  field("count", burst->count);
  end_deed(deed);
}

void log_register(const struct deed *deed, const char *name, uint64_t old, uint64_t now) {
  begin_deed(deed, "register", name);
  field("old", old);
  field("new", now);
  end_deed(deed);
}

void blame_line(const char *words) {
  put_text("blame: ");
  put_text(words);
  end();
}
