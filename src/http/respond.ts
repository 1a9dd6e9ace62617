import type { FastifyReply, FastifyRequest } from "fastify";
import type { LogFields } from "../broker/logger.ts";
import { mark } from "../claim-marks.ts";
import type { ClaimedTask } from "../task/task.ts";
import type { Answer } from "./answer.ts";
import { answerEarly } from "./early-answer.ts";
import { codedError, errorAnswer } from "./errors.ts";
import type { ServerLogger } from "./logger.ts";
import { Turn } from "./turn.ts";
import { hasBroken, hasVanished, onVanish } from "./vanishing.ts";

const JSON_TYPE = "application/json; charset=utf-8";

export interface ResponderOptions {
  readonly logger: ServerLogger;
  /** True while the server drains: then each answer is the last of its connection. */
  isDraining(): boolean;
  /** Takes back tasks whose claimer never got them. */
  giveBack(tasks: readonly ClaimedTask[]): void;
}

/** Puts answers on the wire: together at the end of the turn, logged, and with what cannot arrive given back. */
export class Responder {
  readonly #options: ResponderOptions;
  readonly #turn = new Turn();

  constructor(options: ResponderOptions) {
    this.#options = options;
  }

  /** Serves a request with the others of its turn: their claims travel in one call, their answers leave at once. */
  together(serve: () => void): void {
    this.#turn.atEnd(serve);
  }

  /** A line at `info` for what an operator did; everything else is routine, and a line at `debug`. */
  answer(request: FastifyRequest, reply: FastifyReply, answer: Answer, isOperation = false): void {
    const { logger } = this.#options;
    if (isOperation) logger.info(lineOf(request, answer), "Done");
    else if (logger.isLevelEnabled("debug")) logger.debug(lineOf(request, answer), "Answered");
    this.#hold(request, reply, answer);
  }

  fail(request: FastifyRequest, reply: FastifyReply, thrown: unknown): void {
    const error = codedError(thrown);
    const answer = errorAnswer(error, request.id);
    const { logger } = this.#options;
    if (answer.status >= 500 && error.code !== "shutting_down") {
      logger.error({ ...lineOf(request, answer), code: error.code, err: error }, error.message);
    } else if (logger.isLevelEnabled("debug")) {
      logger.debug({ ...lineOf(request, answer), code: error.code }, error.message);
    }
    this.#hold(request, reply, answer);
  }

  #hold(request: FastifyRequest, reply: FastifyReply, answer: Answer): void {
    if (this.#turn.isEnding) this.#write(request, reply, answer);
    else this.#turn.atEnd(() => this.#write(request, reply, answer));
  }

  #write(request: FastifyRequest, reply: FastifyReply, answer: Answer): void {
    mark("writing", request);
    const { tasks, text } = answer;
    if (tasks !== undefined) {
      if (hasVanished(request.raw.socket)) {
        this.#options.giveBack(tasks);
        return;
      }
      this.#watchDelivery(request, reply, tasks);
    }
    reply.code(answer.status).header("x-request-id", request.id);
    if (answer.headers !== undefined) reply.headers(answer.headers);
    if (this.#options.isDraining()) reply.header("connection", "close");
    if (text !== undefined) reply.header("content-type", answer.contentType ?? JSON_TYPE);
    if (request.raw.complete === false) answerEarly(reply, text);
    else reply.send(text);
    mark("written", request);
  }

  // Tasks are delivered when the system has taken the answer's last byte, and not before.
  #watchDelivery(request: FastifyRequest, reply: FastifyReply, tasks: readonly ClaimedTask[]): void {
    const { socket } = request.raw;
    const forget = onVanish(socket, () => this.#options.giveBack(tasks));
    reply.raw.once("finish", () => {
      // An answer "finishes" also when its connection broke under it; the close that follows gives back.
      if (!hasBroken(socket)) forget();
    });
  }
}

function lineOf({ id, method, url }: FastifyRequest, { status }: Answer): LogFields {
  return { requestId: id, method, url, status };
}
