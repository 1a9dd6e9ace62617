import { resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { type Command, InvalidArgumentError } from "commander";
import type { BackupReport } from "../storage/embedded/care/backup.ts";
import { shellWord } from "../storage/embedded/care/remedy.ts";
import type { CareOptions, CareProgress } from "../storage/embedded/care/verify.ts";
import { parseQueueName, type QueueName } from "../task/ids.ts";
import { EXIT, type ExitCode, UsageError } from "./exit.ts";
import { withHelp, withSettings } from "./flags.ts";
import { bytes } from "./format.ts";
import { perform, type Session, type SessionFlags } from "./session.ts";
import { tellSalvaged, tellVerified } from "./store-report.ts";

/** `dibs store`: what is to be done with the folder of a store beside serving it. */
export function addStore(dibs: Command): void {
  const store = dibs.command("store").description("Check, save and copy the folder of a store.");
  addVerify(store);
  addSalvage(store);
  addBackup(store);
}

function addVerify(store: Command): void {
  const command = store
    .command("verify <folder>")
    .summary("read every checksum and every invariant of a folder")
    .description(
      "Reads all of a folder, also while a server is at work in it, and changes nothing. Says whether a start would " +
        "open it, and where it is damaged when it would not.",
    )
    .action((folder: string, flags: SessionFlags) =>
      perform(flags, (session) => verify(session, folderOf(folder)), { graceful: true }),
    );
  withHelp(
    withSettings(command, []),
    ["dibs store verify ./data", "dibs store verify /backups/monday --json"],
    "0 the folder is sound, 1 it is damaged or something in it is not as it should be, 2 it is no store",
  );
}

interface SalvageFlags extends SessionFlags {
  readonly queue?: ReadonlyMap<number, QueueName>;
}

function addSalvage(store: Command): void {
  const command = store
    .command("salvage <from> <to>")
    .summary("save what can be trusted of a damaged folder in a new one")
    .description(
      "Writes a new store with the last whole record of every task, all keys and all queues, and lists what was lost, " +
        "by id where it is known. The damaged folder stays as it is; stop its server before.",
    )
    .option(
      "--queue <number=name>",
      "the name of a queue whose own record is lost; its number is in the list of a first try",
      numberedName,
    )
    .action((from: string, to: string, flags: SalvageFlags) =>
      perform(flags, (session) => salvage(session, folderOf(from), folderOf(to), flags), { graceful: true }),
    );
  withHelp(
    withSettings(command, []),
    [
      "dibs store salvage ./data ./data.salvaged",
      "dibs store salvage ./data ./data.salvaged --queue 3=emails",
    ],
    "0 the new store is there, also when something was lost: it is listed",
  );
}

function addBackup(store: Command): void {
  const command = store
    .command("backup <from> <to>")
    .summary("copy a folder, also while a server is at work in it")
    .description(
      "Copies a store as it is at one moment into a new folder, and checks every checksum on the way. A server that is " +
        "at work in it goes on. To restore, serve the copy, or put it in the place of the folder.",
    )
    .action((from: string, to: string, flags: SessionFlags) =>
      perform(flags, (session) => backup(session, folderOf(from), folderOf(to)), { graceful: true }),
    );
  withHelp(
    withSettings(command, []),
    ["dibs store backup ./data /backups/monday"],
    "1 also when the store is damaged",
  );
}

/** `3=emails`, any number of times. */
function numberedName(
  text: string,
  before: ReadonlyMap<number, QueueName> = new Map(),
): Map<number, QueueName> {
  const [, number, name] = /^(\d{1,9})=(.*)$/.exec(text) ?? [];
  const queue = name === undefined ? undefined : parseQueueName(name);
  if (queue === undefined) throw new InvalidArgumentError("Expected number=name, with the name of a queue.");
  return new Map([...before, [Number(number), queue]]);
}

function folderOf(text: string): string {
  if (/^file:/i.test(text)) return fileURLToPath(text);
  const scheme = /^([a-z][a-z0-9+.-]+):/i.exec(text)?.[1]?.toLowerCase();
  if (scheme === "http" || scheme === "https")
    throw new UsageError("Name the folder that the server serves (its --store), not the server");
  // The rest of such an address may hold a password.
  if (scheme !== undefined) throw new UsageError(`Expected the folder of a store, got ${scheme}:…`);
  return resolve(text);
}

async function verify(session: Session, folder: string): Promise<ExitCode> {
  const { verifyStore } = await import("../storage/embedded/care/verify.ts");
  const report = await verifyStore(folder, careOptions(session));
  session.output.endProgress();
  tellVerified(session.output, report);
  return EXIT.done;
}

async function salvage(
  session: Session,
  from: string,
  to: string,
  { queue }: SalvageFlags,
): Promise<ExitCode> {
  const { salvageStore } = await import("../storage/embedded/care/salvage.ts");
  const options = { ...careOptions(session), ...(queue !== undefined && { names: queue }) };
  const report = await salvageStore(from, to, options);
  const { output } = session;
  output.endProgress();
  tellSalvaged(output, report);
  return EXIT.done;
}

async function backup(session: Session, from: string, to: string): Promise<ExitCode> {
  const { backupStore } = await import("../storage/embedded/care/backup.ts");
  const report: BackupReport = await backupStore(from, to, careOptions(session));
  const { output } = session;
  output.endProgress();
  output.emit(report);
  output.print(
    `Copied ${from} to ${to}: ${bytes(report.bytes)} in ${report.segments} segments, every checksum right.`,
  );
  output.note(
    `To restore it: dibs serve --store ${shellWord(to)}. Tasks that were completed since this moment run again then.`,
  );
  return EXIT.done;
}

const TOLD_EVERY_MS = 1_000;

function careOptions({ output, signal }: Session): CareOptions {
  let toldAt = performance.now();
  return {
    signal,
    onProgress: (progress) => {
      output.progress(progressText(progress));
      const now = performance.now();
      if (now - toldAt < TOLD_EVERY_MS) return;
      toldAt = now;
      output.emit({ progress });
    },
  };
}

function progressText({ step, done, of }: CareProgress): string {
  return `${step} ${Math.floor((100 * done) / Math.max(1, of))} %`;
}
