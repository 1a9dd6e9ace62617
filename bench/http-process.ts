import type { FastifyInstance } from "fastify";
import { createServer } from "../src/http/server.ts";
import { ProcessObserver } from "../src/lab/process-observer.ts";
import { parseQueueName } from "../src/task/ids.ts";
import { serveDuties } from "./child.ts";
import { fill, openScratchBroker, pendingIn } from "./engine.ts";

/** The process under test of the HTTP benchmarks: the whole server, and one route that does nothing. */
const engine = await openScratchBroker("process");
const server = await createServer(engine.broker, {});
// Same server, same hooks, same body, parsed as any JSON route would: what is left is what HTTP itself costs.
(server.app as FastifyInstance).post("/bench/noop", (request, reply) => {
  JSON.parse(String(request.body));
  reply.code(200).header("content-type", "application/json; charset=utf-8").send('{"tasks":[]}');
});
let observer: ProcessObserver | undefined;

function queueNamed(name: string) {
  const queue = parseQueueName(name);
  if (queue === undefined) throw new Error(`"${name}" is no queue name`);
  return queue;
}

const duties = {
  listen(_: undefined): Promise<string> {
    return server.listen({ host: "127.0.0.1", port: 0 });
  },

  /** Enqueues `count` tasks and answers their ids. */
  async fill({ queue, count }: { queue: string; count: number }): Promise<string[]> {
    const ids: string[] = [];
    await fill(engine.storage, queueNamed(queue), count, (id) => ids.push(id));
    return ids;
  },

  pending(queue: string): Promise<number> {
    return pendingIn(engine.storage, queueNamed(queue));
  },

  observe(_: undefined): void {
    observer = ProcessObserver.start();
  },

  async observed(_: undefined) {
    if (observer === undefined) throw new Error("Nothing is observed");
    return observer.stop();
  },

  async close(_: undefined): Promise<void> {
    await server.close();
    await engine.close();
  },
};

export type HttpDuties = typeof duties;
serveDuties(duties);
