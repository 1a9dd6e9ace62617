import { PAYLOAD_BYTES } from "../payload.ts";
import type { RawAnswer } from "../raw-http.ts";

/** A claimed task as the generator needs it. */
export interface TaskOnTheWire {
  readonly id: string;
  readonly token: string;
}

const ID = /"id":"([^"]+)"/;
const TOKEN = /"token":"([^"]+)"/;

/**
 * The one task of a claim's answer. Found by searching: parsing the JSON would cost the generator more than
 * the rest of the request. The sample payloads have no such fields.
 *
 * @throws {Error} when the answer is no success with a task.
 */
export function taskIn({ status, body }: RawAnswer): TaskOnTheWire {
  const id = ID.exec(body)?.[1];
  const token = TOKEN.exec(body)?.[1];
  if (status !== 200 || id === undefined || token === undefined) {
    throw new Error(`Expected a claimed task, got ${status} ${body.slice(0, 300)}`);
  }
  return { id, token };
}

/** The id of the task that an enqueue made. @throws {Error} when the answer is no such success. */
export function enqueuedIn(answer: RawAnswer): string {
  expectStatus(answer, 201);
  const id = ID.exec(answer.body)?.[1];
  if (id === undefined) throw new Error(`Expected a task, got ${answer.body.slice(0, 300)}`);
  return id;
}

/** @throws {Error} when the answer has another status. */
export function expectStatus({ status, body }: RawAnswer, expected: number): void {
  if (status !== expected) throw new Error(`Expected ${expected}, got ${status} ${body.slice(0, 300)}`);
}

/** A number of the answer, by the name of its field. @throws {Error} when it has none. */
export function numberIn({ body }: RawAnswer, name: "at" | "fence" | "runAt" | "claimedAt"): number {
  const found = FIELDS[name].exec(body)?.[1];
  if (found === undefined) throw new Error(`Expected a field "${name}", got ${body.slice(0, 300)}`);
  return Number(found);
}

const FIELDS = {
  at: /"at":(\d+)/,
  fence: /"fence":(\d+)/,
  runAt: /"runAt":(\d+)/,
  claimedAt: /"claimedAt":(\d+)/,
};

/** A payload of the usual size that says when its task was meant to be enqueued, by the clock of all processes. */
export function timedPayload(atNs: number): string {
  const head = `{"at":${Math.round(atNs)},"text":"`;
  return `${head}${"x".repeat(PAYLOAD_BYTES - head.length - 2)}"}`;
}
