// Configurations of EL1&0, stage 1.
#include "guest.h"

const uint64_t mairs[3] = {
    UINT64_C(0x4fbb440c080400ff), // WB RAWA, the four kinds of Device, NC, WT RAWA, outer NC with inner WB RAWA
    UINT64_C(0x88f4ccddee7700ff), // WB with each hint, transient, outer WB with inner NC, WT without hints
    UINT64_C(0x3f1faaeb99f355ff), // transient, and halves that differ
};

static unsigned tg1(unsigned granule_bits) { return granule_bits == 12 ? 2 : granule_bits == 14 ? 1 : 3; }

// Inner shareable, write-back walks; the size of output addresses that the format can name.
uint64_t tcr_two(const struct space *lower, const struct space *upper) {
  uint64_t tcr = 0, size = 5;
  if (lower) {
    tcr |= (64 - lower->input_bits) | UINT64_C(0x35) << 8 | (uint64_t)tg0(lower->granule_bits) << 14;
  } else {
    tcr |= TCR_EPD0;
  }
  if (upper) {
    tcr |= (uint64_t)(64 - upper->input_bits) << 16 | UINT64_C(0x35) << 24 | (uint64_t)tg1(upper->granule_bits) << 30;
  } else {
    tcr |= TCR_EPD1;
  }
  for (int i = 0; i < 2; i++) {
    const struct space *s = i ? upper : lower;
    if (s && s->format != PLAIN) size = 6;
    if (s && s->format == LPA2) tcr |= TCR_DS;
  }
  return tcr | TCR_IPS(size);
}

#define ASID(n) ((uint64_t)(n) << 48)

void use_el1(struct plan *p, const struct space *lower, const struct space *upper) {
  p->regime = "EL1&0";
  p->el = 1;
  p->columns = FIELD(READ_REGISTER(id_aa64mmfr1_el1), 20, 4) >= 2 ? el1_columns : el1_old_columns; // FEAT_PAN2
  p->sctlr = SCTLR_EL1_RES1 | SCTLR_I | SCTLR_C | SCTLR_M;
  p->hcr = HCR_RW;
  p->mair = mairs[0];
  p->tcr = tcr_two(lower, upper);
  p->ttbr0 = lower ? lower->root | ASID(0x5a) : 0;
  p->ttbr1 = upper ? upper->root | 1 : 0; // CnP; RES0 without FEAT_TTCNP
}

// A gallery in each half.
static void two_galleries(struct plan *p, unsigned lower_bits, unsigned lower_tsz, unsigned upper_bits,
                          unsigned upper_tsz) {
  struct space lower = lower_space(lower_bits, lower_tsz, PLAIN), upper = upper_space(upper_bits, upper_tsz, PLAIN);
  gallery(&upper, gallery_place(&upper));
  gallery(&lower, gallery_place(&lower));
  use_el1(p, &lower, &upper);
}

static void build_4k_16k(struct plan *p) {
  two_galleries(p, 12, 16, 14, 17);
  p->name = "4k-16k";
}
static void build_16k_64k(struct plan *p) {
  two_galleries(p, 14, 16, 16, 16);
  p->name = "16k-64k";
  p->mair = mairs[1];
}
static void build_64k_4k(struct plan *p) {
  two_galleries(p, 16, 17, 12, 25);
  p->name = "64k-4k";
  p->mair = mairs[2];
}
static void build_wxn(struct plan *p) {
  two_galleries(p, 12, 22, 16, 18);
  p->name = "wxn";
  p->sctlr |= SCTLR_WXN;
}
static void build_no_hierarchy(struct plan *p) {
  two_galleries(p, 12, 16, 14, 18);
  p->name = "no-hierarchy";
  p->tcr |= TCR_HPD0 | TCR_HPD1;
}
static void build_half_hierarchy(struct plan *p) {
  two_galleries(p, 16, 16, 12, 16);
  p->name = "half-hierarchy";
  p->tcr |= TCR_HPD1;
  p->sctlr |= SCTLR_WXN;
}
static void build_access_flag(struct plan *p) {
  two_galleries(p, 12, 16, 14, 17);
  p->name = "hardware-access-flag";
  p->tcr |= TCR_HA;
  p->rebuild = true;
}
static void build_dirty_state(struct plan *p) {
  two_galleries(p, 16, 16, 12, 16);
  p->name = "hardware-dirty-state";
  p->tcr |= TCR_HA | TCR_HD;
  p->rebuild = true;
}
static void build_e0pd(struct plan *p) {
  two_galleries(p, 12, 16, 12, 16);
  p->name = "e0pd";
  p->columns = el1_old_columns; // PAN goes by AP, not by this
  p->tcr |= TCR_E0PD1;
}

static void build_big_endian(struct plan *p) {
  two_galleries(p, 12, 16, 16, 16);
  swap_tables();
  p->name = "big-endian";
  p->sctlr |= SCTLR_EE;
}

// The top byte: ignored in one half only.
static void tags(struct plan *p, uint64_t ignored) {
  static const uint64_t tops[] = {0x00, 0xff, 0x5a, 0x80, 0x7f, 0x01};
  struct space lower = lower_space(12, 25, PLAIN), upper = upper_space(12, 25, PLAIN);
  for (unsigned i = 0; i < 2; i++) {
    struct space *s = i ? &upper : &lower;
    leaf(s, s->base, 3, scratch_page(i, 4096), AF | SH_INNER | AP(1));
    for (unsigned t = 0; t < 6; t++) {
      probe((s->base & (BIT(56) - 1)) | tops[t] << 56);
      probe(((s->base ^ BIT(50)) & (BIT(56) - 1)) | tops[t] << 56);
    }
  }
  use_el1(p, &lower, &upper);
  p->columns = el1_data_columns;
  p->tcr |= ignored;
}
static void build_lower_tags(struct plan *p) {
  tags(p, TCR_TBI0);
  p->name = "top-byte-ignored-below";
}
static void build_upper_tags(struct plan *p) {
  tags(p, TCR_TBI1);
  p->name = "top-byte-ignored-above";
}

// TCR_EL1.EPD0 and EPD1: there are tables, but they are not to be walked.
static void one_half(struct plan *p, uint64_t disabled) {
  struct space lower = lower_space(12, 25, PLAIN), upper = upper_space(12, 25, PLAIN);
  for (unsigned i = 0; i < 2; i++) {
    struct space *s = i ? &upper : &lower;
    leaf(s, s->base + 0x1000, 3, scratch_page(i, 4096), AF | SH_INNER | AP(1));
    probe(s->base + 0x1abc);
    probe(s->base);
  }
  use_el1(p, &lower, &upper);
  p->columns = el1_data_columns;
  p->tcr |= disabled;
}
static void build_lower_half(struct plan *p) {
  one_half(p, TCR_EPD1);
  p->name = "upper-half-disabled";
}
static void build_upper_half(struct plan *p) {
  one_half(p, TCR_EPD0);
  p->name = "lower-half-disabled";
}

// Output addresses that are wider than TCR_EL1.IPS allows, from leaves, from a table descriptor and from a TTBR.
static void narrow(struct plan *p, unsigned granule_bits, unsigned ips, unsigned bits) {
  struct space lower = lower_space(granule_bits, 16, PLAIN), upper = upper_space(12, 25, PLAIN);
  uint64_t at = gallery_place(&lower), page = span(&lower, 3), block = span(&lower, 2);
  static const unsigned high[] = {0, 31, 32, 35, 36, 39, 40, 41, 42, 43, 44, 47};
  for (unsigned i = 0; i < sizeof high / sizeof *high; i++) {
    leaf(&lower, at + i * page, 3, BIT(high[i]) & ~(page - 1), AF | SH_INNER | AP(1));
    probe(at + i * page);
    leaf(&lower, at + (64 + i) * block, 2, BIT(high[i]) & ~(block - 1), AF | SH_INNER | AP(2));
    probe(at + (64 + i) * block + 0x1234);
  }
  *entry(&lower, at + 32 * block, 2) = BIT(bits) | 3;
  probe(at + 32 * block);
  *entry(&lower, at + span(&lower, 1), 1) = BIT(bits) | 3;
  probe(at + span(&lower, 1));
  probe(upper.base);
  use_el1(p, &lower, &upper);
  p->columns = el1_data_columns;
  p->tcr = (p->tcr & ~TCR_IPS(7)) | TCR_IPS(ips);
  p->ttbr1 = BIT(bits);
}
static void build_ips_32(struct plan *p) {
  narrow(p, 12, 0, 32);
  p->name = "output-32-bits";
}
static void build_ips_36(struct plan *p) {
  narrow(p, 14, 1, 36);
  p->name = "output-36-bits";
}
static void build_ips_42(struct plan *p) {
  narrow(p, 16, 3, 42);
  p->name = "output-42-bits";
}
// cortex-a57: 44 bits is what there is, and IPS promises 48.
static void build_beyond_pa(struct plan *p) {
  narrow(p, 12, 5, 44);
  p->name = "beyond-physical-size";
}

// FEAT_LPA, FEAT_LPA2
static void build_lpa(struct plan *p) {
  struct space lower = lower_space(16, 12, LPA), upper = upper_space(16, 16, LPA);
  gallery(&lower, gallery_place(&lower));
  gallery(&upper, gallery_place(&upper));
  use_el1(p, &lower, &upper);
  p->name = "lpa-64k";
}
static void build_lpa_narrow(struct plan *p) {
  build_lpa(p);
  p->tcr = (p->tcr & ~TCR_IPS(7)) | TCR_IPS(5);
  p->name = "lpa-64k-48-bits";
}
static void build_lpa2_4k(struct plan *p) {
  struct space lower = lower_space(12, 12, LPA2), upper = upper_space(14, 12, LPA2);
  gallery(&lower, gallery_place(&lower));
  gallery(&upper, gallery_place(&upper));
  use_el1(p, &lower, &upper);
  p->name = "lpa2-4k-16k";
}
static void build_lpa2_16k(struct plan *p) {
  struct space lower = lower_space(14, 14, LPA2), upper = upper_space(12, 15, LPA2);
  gallery(&lower, gallery_place(&lower));
  gallery(&upper, gallery_place(&upper));
  use_el1(p, &lower, &upper);
  p->tcr = (p->tcr & ~(SH(3) << 4)) | SH(2) << 4; // SH0: outer shareable
  p->mair = mairs[1];
  p->name = "lpa2-16k-4k";
}

static bool has_16k(void) { return has_granule(14); }
static bool has_both_lpa2(void) { return has_lpa2(12) && has_lpa2(14); }
static bool has_44_bits(void) { return physical_bits() == 44; }

static const struct {
  build *make;
  bool (*offered)(void); // always, if none
} builds[] = {
    {build_4k_16k, has_16k},      {build_16k_64k, has_16k},      {build_64k_4k, 0},
    {build_wxn, 0},               {build_no_hierarchy, has_16k}, {build_half_hierarchy, 0},
    {build_access_flag, has_16k}, {build_dirty_state, 0},        {build_e0pd, has_e0pd},
    {build_lower_tags, 0},        {build_upper_tags, 0},         {build_lower_half, 0},
    {build_upper_half, 0},        {build_ips_32, 0},             {build_big_endian, 0},
    {build_ips_36, has_16k},      {build_ips_42, 0},             {build_beyond_pa, has_44_bits},
    {build_lpa, has_lpa},         {build_lpa_narrow, has_lpa},   {build_lpa2_4k, has_both_lpa2},
    {build_lpa2_16k, has_both_lpa2},
};

void examine_el1(void) {
  for (unsigned i = 0; i < sizeof builds / sizeof *builds; i++) {
    if (!builds[i].offered || builds[i].offered()) examine(builds[i].make);
  }
  examine_sizes();
}
