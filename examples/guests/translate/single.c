// Configurations of the regime that this program itself executes in: EL3, EL2, EL2&0, and EL1&0 at EL1. This program
// and its UART are mapped one to one, beside the gallery.
#include "guest.h"

static void map_myself(struct space *s, uint64_t ap) {
  uint64_t uart = UART_BASE & ~(span(s, 3) - 1);
  uint64_t bits = AF | SH_INNER | ATTR_INDEX(0) | ap;
  identity(s, IMAGE, MAPPED_END, bits);
  if (s->granule_bits == 12) identity(s, CODE, DATA_START, bits | AP(2)); // so that WXN leaves it executable
  leaf(s, uart, 3, uart, AF | ATTR_INDEX(1) | PXN | UXN | ap);
}

// TCR_EL3, and TCR_EL2 with E2H = 0
uint64_t tcr_one(const struct space *s) {
  uint64_t size = s->format == PLAIN ? 5 : 6;
  return (64 - s->input_bits) | UINT64_C(0x35) << 8 | (uint64_t)tg0(s->granule_bits) << 14 | TCR_ONE_PS(size) |
         TCR_ONE_RES1 | (s->format == LPA2 ? TCR_ONE_DS : 0);
}

static struct space my_space(unsigned granule_bits, unsigned tsz, enum format format, uint64_t ap) {
  struct space s = lower_space(granule_bits, tsz, format);
  map_myself(&s, ap);
  gallery(&s, gallery_place(&s));
  return s;
}

// One range, one privilege: AP[1] is RES1 here.
static void one_range(struct plan *p, unsigned granule_bits, unsigned tsz, enum format format) {
  struct space s = my_space(granule_bits, tsz, format, AP(1));
  p->el = current_el();
  p->regime = p->el == 3 ? "EL3" : "EL2";
  p->columns = p->el == 3 ? el3_columns : el2_columns;
  p->sctlr = SCTLR_EL2_RES1 | SCTLR_I | SCTLR_C | SCTLR_M;
  p->tcr = tcr_one(&s);
  p->mair = mairs[0];
  p->ttbr0 = s.root;
  p->hcr = HCR_RW;
}

static void build_one_4k(struct plan *p) {
  one_range(p, 12, 20, PLAIN);
  p->name = current_el() == 3 ? "el3-4k" : "el2-4k";
}
static void build_one_16k(struct plan *p) {
  one_range(p, 14, 16, PLAIN);
  p->name = current_el() == 3 ? "el3-16k" : "el2-16k";
  p->tcr |= TCR_ONE_HPD;
}
static void build_one_64k(struct plan *p) {
  one_range(p, 16, 16, PLAIN);
  p->name = current_el() == 3 ? "el3-64k" : "el2-64k";
  p->mair = mairs[1];
  p->tcr |= TCR_ONE_TBI;
  probe(gallery_place(&(struct space){.granule_bits = 16}) | UINT64_C(0xa5) << 56);
}
static void build_one_lpa2(struct plan *p) {
  one_range(p, 12, 12, LPA2);
  p->name = current_el() == 3 ? "el3-lpa2" : "el2-lpa2";
}
static void build_one_dirty(struct plan *p) {
  one_range(p, 12, 16, PLAIN);
  p->name = current_el() == 3 ? "el3-dirty-state" : "el2-dirty-state";
  p->tcr |= TCR_ONE_HA | TCR_ONE_HD;
}

static void build_one_wxn(struct plan *p) {
  one_range(p, 12, 25, PLAIN);
  p->name = current_el() == 3 ? "el3-wxn" : "el2-wxn";
  p->sctlr |= SCTLR_WXN;
}

static void examine_one_range(void) {
  examine(build_one_4k);
  examine(build_one_wxn);
  if (has_granule(14)) examine(build_one_16k);
  examine(build_one_64k);
  examine(build_one_dirty);
  if (has_lpa2(12)) examine(build_one_lpa2);
}

// EL2&0: two ranges, two privileges. With TGE = 0 nothing executes at EL0 in it, but EL2 does.
static void host(struct plan *p, unsigned lower_bits, unsigned upper_bits, bool tge) {
  struct space lower = my_space(lower_bits, 16, PLAIN, AP(0)), upper = upper_space(upper_bits, 18, PLAIN);
  gallery(&upper, gallery_place(&upper));
  p->el = 2;
  p->regime = "EL2&0";
  p->columns = tge ? host_columns : el2_columns;
  p->sctlr = SCTLR_EL1_RES1 | SCTLR_I | SCTLR_C | SCTLR_M;
  p->tcr = tcr_two(&lower, &upper);
  p->mair = mairs[0];
  p->ttbr0 = lower.root;
  p->ttbr1 = upper.root | 1;
  p->hcr = HCR_RW | HCR_E2H | (tge ? HCR_TGE : 0);
}
static void build_host_4k(struct plan *p) {
  host(p, 12, 14, true);
  p->name = "host-4k-16k";
}
static void build_host_16k(struct plan *p) {
  host(p, 14, 16, true);
  p->name = "host-16k-64k";
  p->tcr |= TCR_HPD0;
}
static void build_host_64k(struct plan *p) {
  host(p, 16, 12, false);
  p->name = "host-64k-4k";
  p->mair = mairs[1];
}

static void build_host_wxn(struct plan *p) {
  host(p, 12, 16, true);
  p->name = "host-wxn";
  p->sctlr |= SCTLR_WXN;
}

void examine_el2(void) {
  examine_one_range();
  if (!has_host_extensions()) return;
  examine(build_host_4k);
  examine(build_host_16k);
  examine(build_host_64k);
  examine(build_host_wxn);
}

void examine_el3(void) { examine_one_range(); }

// EL1&0, at EL1.
static void within(struct plan *p, unsigned lower_bits, unsigned upper_bits) {
  struct space lower = my_space(lower_bits, 16, PLAIN, AP(0)), upper = upper_space(upper_bits, 16, PLAIN);
  gallery(&upper, gallery_place(&upper));
  use_el1(p, &lower, &upper);
}
static void build_within_4k(struct plan *p) {
  within(p, 12, 16);
  p->name = "el1-4k-64k";
}
static void build_within_16k(struct plan *p) {
  within(p, 14, 12);
  p->name = "el1-16k-4k";
  p->mair = mairs[1];
}
static void build_within_64k(struct plan *p) {
  within(p, 16, 12);
  p->name = "el1-64k-4k";
  p->tcr |= TCR_HPD1;
}

void examine_el1_from_within(void) {
  examine(build_within_4k);
  if (has_granule(14)) examine(build_within_16k);
  examine(build_within_64k);
}
