/** Documents that people write in YAML or JSON. */
export { type Document, readDocument } from "./document.ts";
export { orList, type Path } from "./explain.ts";
export { insideFolder, pathFault } from "./inside-folder.ts";
export { MAX_DOCUMENT_BYTES, type Position, type Problem, raise, readSource, type Source } from "./source.ts";
