/**
 * A second decoder of the framing, to hold the first one against. Written from "Debugging with GDB", appendix E, E.1 Overview, as plainly
 * as can be: it has the whole text at hand, goes through it once, and copies every character.
 *
 * What the manual leaves open is as src/rsp/packet.ts tells it: an over-long frame, a run of less than three or without a byte before
 * it, and a `$` inside a frame are `corrupt`; what stands between frames is noise.
 */

/** One line a frame: `packet …`, `notification …`, `ack`, `nak`, `corrupt …` or `noise …`. Every frame of `text` has its end in it. */
export function decodeNaively(text: string, limit: number): string[] {
  const lines: string[] = [];
  let noise = "";
  const tell = (line: string): void => {
    if (noise !== "") lines.push(`noise ${noise}`);
    noise = "";
    lines.push(line);
  };
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at);
    if (char === "+") tell("ack");
    else if (char === "-") tell("nak");
    else if (char === "$" || char === "%") {
      const end = text.indexOf("#", at);
      if (end < 0) throw new Error("a frame has no end");
      tell(frame(char, text.slice(at + 1, end), text.slice(end + 1, end + 3), limit));
      at = end + 2;
    } else noise += char;
  }
  if (noise !== "") lines.push(`noise ${noise}`);
  return lines;
}

function frame(start: string, body: string, digits: string, limit: number): string {
  if (body.length > limit) return "corrupt too-long";
  const right = /^[0-9a-f]{2}$/i.test(digits) && Number.parseInt(digits, 16) === sum(body) && !body.includes("$");
  if (!right) return "corrupt checksum";
  const payload = expand(body);
  if (payload === undefined || payload.length > limit) return "corrupt run-length";
  return `${start === "$" ? "packet" : "notification"} ${payload}`;
}

function sum(body: string): number {
  return [...body].reduce((total, char) => (total + char.charCodeAt(0)) % 256, 0);
}

function expand(body: string): string | undefined {
  let payload = "";
  for (let at = 0; at < body.length; at++) {
    const char = body.charAt(at);
    if (char !== "}" && char !== "*") {
      payload += char;
      continue;
    }
    at++;
    if (at === body.length) return undefined;
    const code = body.charCodeAt(at);
    if (char === "}") payload += String.fromCharCode(code ^ 0x20);
    else if (payload === "" || code - 29 < 3) return undefined;
    else payload += payload.charAt(payload.length - 1).repeat(code - 29);
  }
  return payload;
}
