/** Time, the same in Node and in a browser. */

/** More milliseconds than this overflow to 1 (HTML, "timers": a signed 32-bit long). */
const LONGEST = 2 ** 31 - 1;

/** Does the work once after so many milliseconds, never for Infinity; the way to stop it is returned. */
export function startTimer(milliseconds: number, work: () => void): () => void {
  if (!(milliseconds <= LONGEST)) return () => undefined;
  const timer = setTimeout(work, Math.max(milliseconds, 0));
  return () => clearTimeout(timer);
}

/** The same again and again. In Node it keeps no program from ending. */
export function startBeat(milliseconds: number, work: () => void): () => void {
  const timer: unknown = setInterval(work, milliseconds);
  (timer as { unref?: () => void }).unref?.();
  return () => clearInterval(timer as NodeJS.Timeout);
}

/** Resolves after so many milliseconds, or as soon as the signal is aborted. */
export function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = (): void => {
      stop();
      signal.removeEventListener("abort", done);
      resolve();
    };
    const stop = startTimer(milliseconds, done);
    signal.addEventListener("abort", done, { once: true });
  });
}
