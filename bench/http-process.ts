import type { FastifyInstance } from "fastify";
import { createServer, type DibsServer } from "../src/http/server.ts";
import { serveDuties } from "../src/lab/child.ts";
import { ProcessObserver } from "../src/lab/process-observer.ts";
import type { Storage } from "../src/storage/storage.ts";
import { parseQueueName } from "../src/task/ids.ts";
import { fill, openScratchBroker, pendingIn } from "./engine.ts";
import { openScratchRedis } from "./redis.ts";

/** The process under test of the HTTP benchmarks: the whole server, and one route that does nothing. */
interface Served {
  readonly storage: Storage;
  readonly server: DibsServer;
  close(): Promise<void>;
}

let served: Served | undefined;

function opened(): Served {
  if (served === undefined) throw new Error("Nothing is served yet");
  return served;
}

/** On the Redis at that URL, else on an embedded engine of its own. */
async function open(redisUrl: string | undefined): Promise<Served> {
  const engine =
    redisUrl === undefined ? await openScratchBroker("process") : await openScratchRedis({ url: redisUrl });
  const server = await createServer(engine.broker, {});
  // Same server, same hooks, same body, parsed as any JSON route would: what is left is what HTTP itself costs.
  (server.app as FastifyInstance).post("/bench/noop", (request, reply) => {
    JSON.parse(String(request.body));
    reply.code(200).header("content-type", "application/json; charset=utf-8").send('{"tasks":[]}');
  });
  return { storage: engine.storage, server, close: () => engine.close() };
}

let observer: ProcessObserver | undefined;

function queueNamed(name: string) {
  const queue = parseQueueName(name);
  if (queue === undefined) throw new Error(`"${name}" is no queue name`);
  return queue;
}

const duties = {
  async listen({ redisUrl }: { redisUrl?: string }): Promise<string> {
    served = await open(redisUrl);
    return served.server.listen({ host: "127.0.0.1", port: 0 });
  },

  /** Enqueues `count` tasks and answers their ids. */
  async fill({ queue, count }: { queue: string; count: number }): Promise<string[]> {
    const ids: string[] = [];
    await fill(opened().storage, queueNamed(queue), count, (id) => ids.push(id));
    return ids;
  },

  pending(queue: string): Promise<number> {
    return pendingIn(opened().storage, queueNamed(queue));
  },

  observe(_: undefined): void {
    observer = ProcessObserver.start();
  },

  async observed(_: undefined) {
    if (observer === undefined) throw new Error("Nothing is observed");
    return observer.stop();
  },

  async close(_: undefined): Promise<void> {
    await opened().server.close();
    await opened().close();
  },
};

export type HttpDuties = typeof duties;
serveDuties(duties);
