/** What every response says to a browser that got it in spite of all: show it in no frame, guess no type, keep nothing, run nothing. */

const NO_FRAMES = "frame-ancestors 'none'";

export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  "cache-control": "no-store",
  "content-security-policy": `default-src 'none'; ${NO_FRAMES}`,
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
};

/** The policy that a report has in its head, which allows its style and nothing else; no scripts, no frames, an origin of its own. */
export function reportPolicy(html: string): string {
  const policy =
    /<meta http-equiv="Content-Security-Policy" content="([^"]+)">/.exec(html)?.[1] ?? "default-src 'none'";
  return `${policy}; ${NO_FRAMES}; sandbox`;
}
