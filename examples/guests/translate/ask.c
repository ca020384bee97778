// The questions. AT leaves its answer in PAR_EL1; a fetch's answer is the syndrome of the exception that ends it.
#include "guest.h"

#define AT(name, instruction)                                                                                  \
  static uint64_t name(uint64_t va) {                                                                          \
    uint64_t par;                                                                                              \
    __asm__ volatile(instruction ", %1\n\tisb\n\tmrs %0, par_el1" : "=r"(par) : "r"(va) : "memory");           \
    return par;                                                                                                \
  }

AT(e1r, "at s1e1r")
AT(e1w, "at s1e1w")
AT(e0r, "at s1e0r")
AT(e0w, "at s1e0w")
AT(e2r, "at s1e2r")
AT(e2w, "at s1e2w")
AT(e3r, "at s1e3r")
AT(e3w, "at s1e3w")
AT(n1r, "at s12e1r")
AT(n1w, "at s12e1w")
AT(n0r, "at s12e0r")
AT(n0w, "at s12e0w")
AT(with_pan_r, "sys #0, c7, c9, #0") // AT S1E1RP: as with PSTATE.PAN (FEAT_PAN2)
AT(with_pan_w, "sys #0, c7, c9, #1") // AT S1E1WP

static uint64_t with_pan(uint64_t (*ask)(uint64_t), uint64_t va) {
  WRITE_ENCODED(PAN, BIT(22));
  uint64_t par = ask(va);
  WRITE_ENCODED(PAN, 0);
  return par;
}
static uint64_t p1r(uint64_t va) { return with_pan(with_pan_r, va); }
static uint64_t p1w(uint64_t va) { return with_pan(with_pan_w, va); }

// PSTATE for fetch(): the level with its own stack pointer, everything masked.
#define EL0T 0x3c0
#define EL1H 0x3c5
#define EL2H 0x3c9
#define EL3H 0x3cd

#define EC_HVC 0x16

// A fetch fault of EL1 or EL0 goes to EL1, whose vectors then call EL2: the syndrome wanted is the one that EL1 has.
static uint64_t fetch_below(uint64_t va, uint64_t spsr) {
  uint64_t esr = fetch(va, spsr);
  return current_el() > 1 && esr >> 26 == EC_HVC ? READ_REGISTER(esr_el1) : esr;
}
static uint64_t x1(uint64_t va) { return fetch_below(va, EL1H); }
static uint64_t x0(uint64_t va) { return fetch_below(va, EL0T); }
static uint64_t x2(uint64_t va) { return fetch(va, EL2H); }
static uint64_t x3(uint64_t va) { return fetch(va, EL3H); }

#define DATA(name) {#name, name, false}
#define FETCH(name) {#name, name, true}
#define END {0, 0, false}

const struct column el1_columns[] = {DATA(e1r), DATA(e1w), DATA(e0r),  DATA(e0w), DATA(p1r),
                                     DATA(p1w), FETCH(x1), FETCH(x0), END};
const struct column el1_old_columns[] = {DATA(e1r), DATA(e1w), DATA(e0r), DATA(e0w), FETCH(x1), FETCH(x0), END};
const struct column el1_data_columns[] = {DATA(e1r), DATA(e1w), DATA(e0r), DATA(e0w), END};
const struct column nested_columns[] = {DATA(n1r), DATA(n1w), DATA(n0r), DATA(n0w), FETCH(x1), FETCH(x0), END};
const struct column nested_data_columns[] = {DATA(n1r), DATA(n1w), DATA(n0r), DATA(n0w), END};
const struct column el2_columns[] = {DATA(e2r), DATA(e2w), FETCH(x2), END};
const struct column host_columns[] = {DATA(e2r), DATA(e2w), DATA(e0r), DATA(e0w), FETCH(x2), FETCH(x0), END};
const struct column el3_columns[] = {DATA(e3r), DATA(e3w), FETCH(x3), END};
