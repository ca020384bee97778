/** What the system says when a file cannot be had, in words. */

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "no such file or folder",
  EACCES: "permission denied",
  EISDIR: "it is a folder",
  ENOSPC: "the disk is full",
  EDQUOT: "the disk quota is used up",
  EFBIG: "the file would be larger than allowed",
  EROFS: "the file system is read-only",
  ENOTDIR: "a part of the path is no folder",
  ENOTREG: "it is no regular file",
  ELOOP: "a link leads round in a circle",
  ENXIO: "nobody is at the other end",
  ENAMETOOLONG: "the name is too long",
};

/** The reason why a file operation failed: in words where there are some, else the system's code. */
export function systemReason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? "";
  return REASONS[code] ?? (code || String(error));
}

/** An error of the system's kind; `ENOTREG` stands for what is no regular file. */
export function systemError(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code });
}
