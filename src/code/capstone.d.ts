/** The part of @alexaltea/capstone-js that is used here; the package has no types of its own. */
declare module "@alexaltea/capstone-js" {
  export interface CapstoneInstruction {
    readonly mnemonic: string;
    readonly op_str: string;
    readonly size: number;
  }

  export interface CapstoneHandle {
    /** Throws a string when nothing can be decoded. */
    disasm(bytes: readonly number[], address: bigint, max: number): readonly CapstoneInstruction[];
    close(): void;
  }

  export interface CapstoneModule {
    readonly ARCH_ARM64: number;
    readonly MODE_LITTLE_ENDIAN: number;
    readonly Capstone: new (architecture: number, mode: number) => CapstoneHandle;
  }

  const load: () => Promise<CapstoneModule>;
  export = load;
}
