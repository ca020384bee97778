/**
 * The few instruction words that say where a return address comes from: calls, returns, and what a function does to x30 and x29.
 *
 * Source: Arm ARM DDI 0487, C4.1 "A64 instruction set encoding": "Unconditional branch (immediate)" and "(register)", "Load/store
 * register pair", "Load/store register", "Add/subtract (immediate)". Only these words are told apart; `code` decodes the rest.
 */

const LINK = 30;

function matches(word: number, mask: number, value: number): boolean {
  return (word & mask) >>> 0 === value;
}

/** BL, BLR, and BLRAA, BLRAAZ, BLRAB, BLRABZ of FEAT_PAuth: x30 becomes the address of the next word. */
export function isCall(word: number): boolean {
  return matches(word, 0xfc00_0000, 0x9400_0000) || isRegisterBranch(word, 0x0020_0000);
}

/** `opc` 0b0000 (BR), 0b0001 (BLR), 0b0010 (RET) at bits 24:21, with or without pointer authentication (op3 0b00001M). */
function isRegisterBranch(word: number, opc: number): boolean {
  const plain = matches(word, 0xffff_fc1f, (0xd61f_0000 | opc) >>> 0);
  return plain || matches(word, 0xfeff_f800, (0xd61f_0800 | opc) >>> 0);
}

/** RET, RETAA, RETAB. */
function isReturn(word: number): boolean {
  return isRegisterBranch(word, 0x0040_0000);
}

/** B and BR, and what else goes elsewhere for good (ERET, DRPS): the rest of the function is not the next word. */
function isJump(word: number): boolean {
  return matches(word, 0xfc00_0000, 0x1400_0000) || matches(word, 0xfe00_0000, 0xd600_0000);
}

/** Whether the word loads (or stores) x30: LDP/LDR (STP/STR) of 64 bits, by itself or with another register. */
function movesLink(word: number, load: boolean): boolean {
  const bit = load ? 0x0040_0000 : 0;
  const first = (word & 0x1f) === LINK;
  if (matches(word, 0xfe40_0000, (0xa800_0000 | bit) >>> 0)) return first || ((word >>> 10) & 0x1f) === LINK;
  const unsigned = matches(word, 0xffc0_0000, (0xf900_0000 | bit) >>> 0);
  return first && (unsigned || matches(word, 0xffe0_0000, (0xf800_0000 | bit) >>> 0));
}

/** Stores x30 on the stack: what a function does first that calls others. */
export function savesLink(word: number): boolean {
  return movesLink(word, false) && ((word >>> 5) & 0x1f) === 31;
}

/** A store of x29 and x30 beside each other on the stack, in either order: a frame record. */
export function savesFrame(word: number): boolean {
  return matches(word, 0xfe40_7fff, 0xa800_7bfd) || matches(word, 0xfe40_7fff, 0xa800_77fe);
}

/** STP x29, x30, [sp, #-imm]!, or what may stand before it: PACIASP, PACIBSP, BTI c, BTI jc. */
export function startsFunction(word: number): boolean {
  const guards = [0xd503_233f, 0xd503_237f, 0xd503_245f, 0xd503_24df];
  return matches(word, 0xffe0_7fff, 0xa9a0_7bfd) || guards.includes(word >>> 0);
}

/** ADD x29, sp, #imm (`mov x29, sp`): from here on x29 points to the function's own frame record. */
function setsFramePointer(word: number): boolean {
  return matches(word, 0xff80_03ff, 0x9100_03fd);
}

/**
 * Where the return address of the function that runs `words` (from its next instruction on) is: in x30, because the function has not
 * stored it yet, never does or has loaded it again; in its frame record, because it still is to be loaded from there or a call
 * is to overwrite x30; or it cannot be told from these words.
 */
export function returnAddressPlace(words: readonly number[]): "x30" | "record" | "unknown" {
  for (const word of words) {
    if (movesLink(word, false) || setsFramePointer(word) || isReturn(word)) return "x30";
    if (movesLink(word, true) || isCall(word)) return "record";
    if (isJump(word)) return "unknown";
  }
  return "unknown";
}
