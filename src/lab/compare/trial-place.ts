import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ConnectOptions } from "../../connect.ts";
import { ScratchKeys } from "../bench/scratch-keys.ts";

/** Two builds are compared on one kind of store. */
export interface PlaceWish {
  /** `memory:` or `redis://…`; undefined: a temporary folder. */
  readonly store?: string;
  /** Over HTTP, through a server of the build in a process of its own. */
  readonly serve: boolean;
}

/** What a process used since it began. */
export interface ProcessUse {
  readonly cpuUs: number;
  readonly memoryBytes: number;
}

/** Where one trial has its tasks: its own alone, and gone with it. */
export interface TrialPlace {
  /** As `connect` takes it. */
  readonly url: string;
  readonly options: ConnectOptions;
  readonly queue: string;
  /** Of the server, where there is one; undefined when the system does not tell. */
  use?(): Promise<ProcessUse | undefined>;
  close(): Promise<void>;
}

const QUEUE = "lab-compare";

/** `command` is the `dibs` of the build under test. */
export async function openTrialPlace({ store, serve }: PlaceWish, command: string): Promise<TrialPlace> {
  const place = await openStore(store);
  if (!serve) return place;
  try {
    return await serveStore(place, command);
  } catch (error) {
    await place.close();
    throw error;
  }
}

async function openStore(store: string | undefined): Promise<TrialPlace> {
  if (store === "memory:") return { url: store, options: {}, queue: QUEUE, close: async () => {} };
  if (store !== undefined) return openKeys(store);
  const url = await mkdtemp(join(tmpdir(), "dibs-compare-"));
  return { url, options: {}, queue: QUEUE, close: () => rm(url, { recursive: true, force: true }) };
}

/** Keys of its own, so that two sides and other users of the Redis never meet. */
async function openKeys(url: string): Promise<TrialPlace> {
  const keys = await ScratchKeys.open({ url });
  return {
    url,
    options: { prefix: keys.prefix },
    queue: QUEUE,
    async close() {
      try {
        await keys.remove();
      } finally {
        await keys.close();
      }
    },
  };
}

async function serveStore(store: TrialPlace, command: string): Promise<TrialPlace> {
  const { prefix } = store.options as { prefix?: string };
  const keys = prefix === undefined ? [] : ["--prefix", prefix];
  const flags = ["--store", store.url, ...keys, "--port", "0", "--log-level", "error", "--json"];
  const server = spawn(process.execPath, [command, "serve", ...flags], { stdio: ["ignore", "pipe", "pipe"] });
  const stop = async () => {
    if (server.exitCode === null && server.signalCode === null) {
      const ended = once(server, "exit");
      server.kill("SIGKILL");
      await ended;
    }
    await store.close();
  };
  const url = await urlOf(server);
  return { url, options: {}, queue: store.queue, use: () => useOf(server.pid as number), close: stop };
}

/** What a server says once it can be called. @throws {Error} with its last words when it ends before. */
async function urlOf(server: ChildProcess): Promise<string> {
  let said = "";
  return new Promise((resolve, reject) => {
    const hear = (chunk: Buffer) => {
      said += chunk;
      const ready = /^.*"event":"ready".*$/m.exec(said)?.[0];
      if (ready !== undefined) resolve((JSON.parse(ready) as { url: string }).url);
    };
    server.stdout?.on("data", hear);
    server.stderr?.on("data", hear);
    server.once("exit", (code) =>
      reject(new Error(`The server of the build ended (${code}): ${said.trim()}`)),
    );
  });
}

/** The kernel counts the time of processes in hundredths of a second. Source: proc_pid_stat(5), sysconf(3). */
const TICK_US = 10_000;
const PAGE_BYTES = 4_096;

/** Of a process, from the kernel; undefined where there is no `/proc` (only Linux has it). */
async function useOf(pid: number): Promise<ProcessUse | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  // The name of the program, in brackets, may hold anything; the fields after it are numbered from 3.
  const fields = text
    ?.slice(text.lastIndexOf(")") + 2)
    .split(" ")
    .map(Number);
  if (fields === undefined) return undefined;
  const [user, system, pages] = [fields[11], fields[12], fields[21]] as [number, number, number];
  return { cpuUs: (user + system) * TICK_US, memoryBytes: pages * PAGE_BYTES };
}
