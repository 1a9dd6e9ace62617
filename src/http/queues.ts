import type { Broker } from "../broker/broker.ts";
import type { QueueView } from "../broker/requests.ts";
import { queueListItem, queueMessage, taskJson } from "../protocol/json.ts";
import { listAsk } from "../protocol/requests.ts";
import type { QueueName } from "../task/ids.ts";
import { LIMITS } from "../task/limits.ts";
import type { QueueConfigPatch } from "../task/queue.ts";
import { type Answer, jsonAnswer, objectAnswer } from "./answer.ts";
import type { Answerings } from "./router.ts";

/** The routes of operators. */
export function queueRoutes(
  broker: Broker,
): Answerings<"queues" | "queue" | "configure" | "pause" | "resume" | "list" | "requeueDead" | "purge"> {
  return {
    async queues() {
      return objectAnswer({ queues: (await broker.queues()).map(queueListItem) });
    },

    async queue({ params }) {
      return theQueue(await broker.queue(nameIn(params)));
    },

    async configure({ params, body }) {
      return theQueue(await broker.configure(nameIn(params), body as QueueConfigPatch));
    },

    async pause({ params }) {
      return theQueue(await broker.pause(nameIn(params)));
    },

    async resume({ params }) {
      return theQueue(await broker.resume(nameIn(params)));
    },

    async list({ params, query }) {
      const { tasks, cursor } = await broker.list(nameIn(params), listAsk(query));
      const more = cursor === undefined ? "" : `,"cursor":${JSON.stringify(cursor)}`;
      return jsonAnswer(`{"tasks":[${tasks.map(taskJson).join()}]${more}}`);
    },

    async requeueDead({ params, body }) {
      return objectAnswer({
        requeued: await broker.requeueDead(nameIn(params), body.limit ?? LIMITS.requeueMax),
      });
    },

    async purge({ params, query }) {
      return objectAnswer({ deleted: await broker.purge(nameIn(params), query.state) });
    },
  };
}

function theQueue(view: QueueView): Answer {
  return objectAnswer(queueMessage(view));
}

/** The path's schema has let only queue names through. */
function nameIn(params: { readonly queue: string }): QueueName {
  return params.queue as QueueName;
}
