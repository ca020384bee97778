/** Code in memory: as text, and where the target of a branch came from. */
export { type BlockEdge, blockBefore } from "./block.ts";
export { type BadBranch, type BranchSite, branchSite } from "./branch-site.ts";
export { addressBitsOf, type CallChain, callChain, codeRegime, executes } from "./chain.ts";
export { decodeWord } from "./decode.ts";
export { type CodeListing, codeAround, disassemble, disassembleWords, type Instruction } from "./disassemble.ts";
export { type EvaluateOptions, evaluateOrigin, type OriginValue, type Value } from "./evaluate.ts";
export { type CodeWord, type Decoded, type Operation, registerName } from "./operation.ts";
export { branchOrigin, type Origin, type OriginEnd, type OriginStep, registerOrigin } from "./origin.ts";
export { mayStore, type StoreSpan, storedSpans } from "./store-words.ts";
export { findSystemWrites, type SystemWord, systemWord } from "./system-words.ts";
export { type BranchTrace, type Hop, traceBranch } from "./trace.ts";
export { type CodeGap, type CodeRange, wordsAround } from "./words.ts";
