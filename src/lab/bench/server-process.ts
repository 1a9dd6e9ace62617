import { destination, pino } from "pino";
import { Broker } from "../../broker/broker.ts";
import { createServer, type DibsServer } from "../../http/server.ts";
import { EmbeddedStorage } from "../../storage/embedded/embedded-storage.ts";
import { RedisStorage, type RedisStorageOptions } from "../../storage/redis/redis-storage.ts";
import type { Storage } from "../../storage/storage.ts";
import { serveDuties } from "../child.ts";
import { ProcessSampler } from "../process-sampler.ts";
import { OwnProbe, type Watched } from "../profile/process-probe.ts";
import { OwnProcess } from "./process-watch.ts";

/** What the server of a bench serves. */
export type ServedStore =
  | { readonly kind: "folder"; readonly folder: string; readonly durability: "process" | "power" | "none" }
  | { readonly kind: "memory" }
  | { readonly kind: "redis"; readonly options: RedisStorageOptions };

/** The process of a server that a bench starts for itself: the server as it is, and the watch over its process. */
const watch = new OwnProcess();
const probe = new OwnProbe(() => served?.server.app.server);
let sampler: ProcessSampler | undefined;
let served: { readonly server: DibsServer; readonly broker: Broker } | undefined;

function open(store: ServedStore): Promise<Storage> {
  if (store.kind === "redis") return RedisStorage.open(store.options);
  if (store.kind === "memory") return EmbeddedStorage.open({});
  const { folder, durability } = store;
  return EmbeddedStorage.open(durability === "none" ? { durability } : { folder, durability });
}

const duties = {
  /** Serves on a free port of the loopback interface; its URL. */
  async listen(store: ServedStore): Promise<string> {
    const broker = await Broker.open(await open(store));
    const logger = pino({ level: "error" }, destination({ fd: 2, sync: true }));
    const server = await createServer(broker, { logger });
    served = { server, broker };
    return server.listen({ host: "127.0.0.1", port: 0 });
  },
  async close(_: undefined): Promise<void> {
    await served?.server.close();
    await served?.broker.close();
  },
  sample(_: undefined) {
    sampler ??= new ProcessSampler();
    return sampler.sample();
  },
  beginRun: (_: undefined) => watch.beginRun(),
  resume: (_: undefined) => watch.resume(),
  pause: (_: undefined) => watch.pause(),
  endRun: (_: undefined) => watch.endRun(),
  startProfile: (_: undefined) => watch.startProfile(),
  writeProfile: (path: string) => watch.writeProfile(path),
  prepareProbe: (every: number) => probe.prepare(every),
  resumeProbe: (what: Watched) => probe.resumeProbe(what),
  pauseProbe: (what: Watched) => probe.pauseProbe(what),
  takeTraces: (_: undefined) => probe.takeTraces(),
  takeAllocations: (_: undefined) => probe.takeAllocations(),
};

export type ServerDuties = typeof duties;
serveDuties(duties);
// A supervisor that ends the bench ends this process through it.
process.on("SIGTERM", () => {});
