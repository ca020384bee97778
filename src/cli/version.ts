/** The version of this package, for the verbs. */
export { CREATED_BY, VERSION } from "../base/version.ts";
