/** What is used of elfy 1.0.0, a CommonJS module that brings no types. */
declare module "elfy" {
  interface ElfySection {
    readonly name: string;
    readonly link: number;
  }

  const elfy: {
    /** Splits a file into its headers; throws plain errors on what it does not understand. */
    parse(file: Buffer): { readonly body: { readonly sections: readonly ElfySection[] } };
  };
  export = elfy;
}
