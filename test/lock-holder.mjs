// Holds the folder given as its argument until it is killed; tells how that went, a line each, on stdout.
import { FolderLock } from "../dist/storage/embedded/lock.js";

const [folder, waitMs] = process.argv.slice(2);
const say = (line) => process.stdout.write(`${line}\n`);
try {
  await FolderLock.acquire(folder, {
    waitMs: Number(waitMs),
    onLost: (error) => say(`lost ${error.message}`),
  });
  say("held");
  setInterval(() => {}, 60_000); // The lock itself keeps no process alive.
} catch (error) {
  say(`refused ${JSON.stringify(error.details)}`);
}
