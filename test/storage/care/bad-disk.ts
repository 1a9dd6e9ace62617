const SECTOR = 512;

/** Which file an open one is. */
const paths = new Map<number, string>();
/** Sectors of files that cannot be read, by path. */
const bad = new Map<string, Set<number>>();

/** Makes the sector of a byte of a file unreadable for this process, until {@link mendAll}. */
export function spoil(path: string, offset: number): void {
  const sectors = bad.get(path) ?? new Set();
  bad.set(path, sectors.add(Math.floor(offset / SECTOR)));
}

export function mendAll(): void {
  bad.clear();
}

type OpenSync = (path: string, ...options: unknown[]) => number;
type ReadSync = (fd: number, target: Uint8Array, at: number, length: number, from: number) => number;

/**
 * In the place of `node:fs`: a read gives the bytes before a bad sector, and none where it begins in one, as the kernel
 * does. A device that does so cannot be had without the rights of the machine's owner.
 */
export function withBadSectors<T extends { readonly openSync: unknown; readonly readSync: unknown }>(
  fs: T,
): T {
  const open = fs.openSync as OpenSync;
  const read = fs.readSync as ReadSync;
  const openSync: OpenSync = (path, ...options) => {
    const fd = open(path, ...options);
    paths.set(fd, String(path));
    return fd;
  };
  const readSync: ReadSync = (fd, target, at, length, from) => {
    const before = bad.size === 0 ? length : readableFrom(paths.get(fd) ?? "", from, length);
    if (before === 0) throw Object.assign(new Error("EIO: i/o error, read"), { code: "EIO" });
    return read(fd, target, at, before, from);
  };
  return { ...fs, openSync, readSync };
}

function readableFrom(path: string, from: number, length: number): number {
  const sectors = bad.get(path);
  if (sectors === undefined) return length;
  for (let sector = Math.floor(from / SECTOR); sector * SECTOR < from + length; sector += 1)
    if (sectors.has(sector)) return Math.max(0, sector * SECTOR - from);
  return length;
}
