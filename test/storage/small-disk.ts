import type { Disk, DiskFile } from "../../src/storage/embedded/disk.ts";
import type { SimulatedDisk } from "./simulated-disk.ts";

/** A simulated disk on which there is room for so many bytes more. */
export class SmallDisk implements Disk {
  readonly simulated: SimulatedDisk;
  room: number;

  constructor(simulated: SimulatedDisk, room: number) {
    this.simulated = simulated;
    this.room = room;
  }

  /** What the next process finds when this one was killed, on a disk that is as full. */
  afterKill(): SmallDisk {
    return new SmallDisk(this.simulated.afterKill(), this.room);
  }

  list(): string[] {
    return this.simulated.list();
  }

  open(name: string, options: { readonly create: boolean }): DiskFile {
    const file = this.simulated.open(name, options);
    return {
      size: () => file.size(),
      read: (target, offset) => file.read(target, offset),
      write: (bytes, offset) => {
        this.#take(Math.max(0, offset + bytes.length - file.size()));
        file.write(bytes, offset);
      },
      truncate: (length) => file.truncate(length),
      sync: () => file.sync(),
      syncNow: () => file.syncNow(),
      close: () => file.close(),
      closeRemoved: () => file.closeRemoved(),
    };
  }

  rename(from: string, to: string): void {
    this.simulated.rename(from, to);
  }

  remove(name: string): void {
    if (!this.list().includes(name)) return;
    this.room += this.simulated.content(name).length;
    this.simulated.remove(name);
  }

  syncFolder(): Promise<void> {
    return this.simulated.syncFolder();
  }

  syncFolderNow(): void {
    this.simulated.syncFolderNow();
  }

  #take(bytes: number): void {
    if (bytes > this.room)
      throw Object.assign(new Error("ENOSPC: no room on the simulated disk"), { code: "ENOSPC" });
    this.room -= bytes;
  }
}
