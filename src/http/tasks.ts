import type { Broker } from "../broker/broker.ts";
import { enqueuedItemJson, enqueuedJson, errorMessage, resultJson, taskJson } from "../protocol/json.ts";
import { enqueueAsk, enqueueAsks, taskIdOf } from "../protocol/requests.ts";
import { memberText, memberTexts } from "../protocol/source.ts";
import { DibsError } from "../task/errors.ts";
import { isFinished } from "../task/task.ts";
import { jsonAnswer } from "./answer.ts";
import type { Answerings } from "./router.ts";

/** The routes of producers. */
export function taskRoutes(
  broker: Broker,
): Answerings<"enqueue" | "enqueueBatch" | "task" | "result" | "cancel" | "requeue"> {
  return {
    async enqueue({ body, text }) {
      const { task, deduplicated } = await broker.enqueue(enqueueAsk(body, memberText(text, "payload")));
      return jsonAnswer(enqueuedJson(task, deduplicated), deduplicated ? 200 : 201);
    },

    async enqueueBatch({ body, text }) {
      const results = await broker.enqueueMany(enqueueAsks(body, memberTexts(text, "tasks", "payload")));
      const items = results.map((result) =>
        result instanceof DibsError
          ? JSON.stringify({ error: errorMessage(result) })
          : enqueuedItemJson(result.task, result.deduplicated),
      );
      return jsonAnswer(`{"results":[${items.join()}]}`);
    },

    async task({ params }) {
      return jsonAnswer(taskJson(await broker.get(taskIdOf(params.id))));
    },

    async result(call) {
      const { params, query } = call;
      const waitMs = query.waitMs ?? 0;
      const task = await broker.result(taskIdOf(params.id), waitMs, waitMs > 0 ? call.signal : undefined);
      return jsonAnswer(resultJson(task), isFinished(task.state) ? 200 : 202);
    },

    async cancel({ params }) {
      return jsonAnswer(taskJson(await broker.cancel(taskIdOf(params.id))));
    },

    async requeue({ params }) {
      return jsonAnswer(taskJson(await broker.requeue(taskIdOf(params.id))));
    },
  };
}
