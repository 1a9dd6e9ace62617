import type { Broker } from "../broker/broker.ts";
import type { HeartbeatResult, SettleResult } from "../broker/requests.ts";
import { mark } from "../claim-marks.ts";
import { claimedTaskJson, errorMessage } from "../protocol/json.ts";
import {
  claimAsk,
  completeAsk,
  eachInPlace,
  heartbeatAsk,
  heartbeatAsks,
  nackAsk,
  releaseAsk,
  settleAsks,
  taskIdOf,
} from "../protocol/requests.ts";
import { memberText, memberTexts } from "../protocol/source.ts";
import { invalid } from "../protocol/validate.ts";
import { DibsError } from "../task/errors.ts";
import type { ClaimedTask } from "../task/task.ts";
import { type Answer, jsonAnswer, NO_CONTENT, objectAnswer } from "./answer.ts";
import type { Answerings } from "./router.ts";

/** The routes of workers. */
export function claimRoutes(
  broker: Broker,
): Answerings<"claim" | "complete" | "nack" | "release" | "heartbeat" | "settle" | "heartbeats"> {
  return {
    async claim(call) {
      const ask = claimAsk(call.body);
      const tasks = await broker.claim(ask, ask.waitMs > 0 ? call.signal : undefined);
      mark("resumed", call);
      if (tasks.length === 0) return NO_CONTENT;
      const answer = delivering(`{"tasks":[${claimedJson(tasks)}]}`, tasks);
      mark("told", call);
      return answer;
    },

    async complete({ params, body, text }) {
      const ask = completeAsk(taskIdOf(params.id), body, memberText(text, "result"));
      return settledAnswer(await broker.settleOne(ask));
    },

    async nack({ params, body }) {
      return settledAnswer(await broker.settleOne(nackAsk(taskIdOf(params.id), body)));
    },

    async release({ params, body }) {
      const id = taskIdOf(params.id);
      if (body.force === true) return settledAnswer(await broker.forceRelease(id));
      if (body.leaseToken === undefined) throw invalid("leaseToken", "to be given", "required", undefined);
      return settledAnswer(await broker.settleOne(releaseAsk(id, body.leaseToken)));
    },

    async heartbeat({ params, body }) {
      const [result] = await broker.heartbeat([heartbeatAsk(taskIdOf(params.id), body)]);
      if (result instanceof DibsError) throw result;
      return objectAnswer({ expiresAt: (result as HeartbeatResult).expiresAt });
    },

    async settle(call) {
      const { body, text } = call;
      const claim = body.claim === undefined ? undefined : claimAsk(body.claim);
      const signal = claim !== undefined && claim.waitMs > 0 ? call.signal : undefined;
      let tasks: readonly ClaimedTask[] = [];
      const results = await eachInPlace(
        settleAsks(body, memberTexts(text, "outcomes", "result")),
        async (asks) => {
          const reply = await broker.settle(asks, claim, signal);
          tasks = reply.tasks;
          return reply.results;
        },
      );
      const items = results.map((result, index) => itemOf(result, body.outcomes[index]?.id));
      return delivering(`{"results":${JSON.stringify(items)},"tasks":[${claimedJson(tasks)}]}`, tasks);
    },

    async heartbeats({ body }) {
      const results = await eachInPlace(heartbeatAsks(body), (asks) => broker.heartbeat(asks));
      return objectAnswer({
        results: results.map((result, index) => itemOf(result, body.leases[index]?.id)),
      });
    },
  };
}

function claimedJson(tasks: readonly ClaimedTask[]): string {
  const [first] = tasks;
  return tasks.length === 1 && first !== undefined
    ? claimedTaskJson(first)
    : tasks.map(claimedTaskJson).join();
}

function delivering(text: string, tasks: readonly ClaimedTask[]): Answer {
  return tasks.length === 0 ? jsonAnswer(text) : { status: 200, text, tasks };
}

function settledAnswer(result: SettleResult): Answer {
  return objectAnswer(result);
}

function itemOf(result: SettleResult | HeartbeatResult | DibsError, id: string | undefined): object {
  return result instanceof DibsError ? { id, error: errorMessage(result) } : result;
}
