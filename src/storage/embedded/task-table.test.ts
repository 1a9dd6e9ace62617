import { describe, expect, it } from "vitest";
import { newTaskId, type QueueName, type TaskId } from "../../task/ids.ts";
import { newNonce } from "../../task/nonce.ts";
import { idWords, leaseToken, TaskTable } from "./task-table.ts";

const QUEUE = "emails" as QueueName;

function add(table: TaskTable, id: TaskId): number {
  const [a, b, c] = [...idWords(id)] as [number, number, number];
  return table.add(a, b, c);
}

describe("the task table", () => {
  it("finds every task by its id, and gives the id back", () => {
    const table = new TaskTable();
    const ids = Array.from({ length: 20_000 }, () => newTaskId(QUEUE));
    const slots = ids.map((id) => add(table, id));

    expect(ids.map((id) => table.find(id))).toEqual(slots);
    expect(slots.map((slot) => `emails~${table.idText(slot)}`)).toEqual(ids);
    expect(table.find(newTaskId(QUEUE))).toBe(-1);
  });

  it("finds the others after any are removed, and uses their slots again", () => {
    const table = new TaskTable();
    const ids = Array.from({ length: 20_000 }, () => newTaskId(QUEUE));
    const slots = ids.map((id) => add(table, id));
    for (const [i, slot] of slots.entries()) if (i % 3 === 0) table.remove(slot);

    expect(ids.map((id) => table.find(id))).toEqual(slots.map((slot, i) => (i % 3 === 0 ? -1 : slot)));
    expect(table.size).toBe(ids.length - Math.ceil(ids.length / 3));
    add(table, newTaskId(QUEUE));
    expect(table.rows).toBe(ids.length);
  });

  it.each(["~AAAAAAAAAAAAAAAA", "~________________", "~----------------", "~abcdefghijklmnop"])(
    "keeps the bits of %s",
    (random) => {
      const table = new TaskTable();
      expect(table.idText(add(table, `q${random}` as TaskId))).toBe(random.slice(1));
    },
  );

  it("makes tokens that the fence alone does not give away", () => {
    const tokens = new Set(Array.from({ length: 1_000 }, () => leaseToken(7, newNonce())));
    expect(tokens.size).toBeGreaterThan(990);
  });
});
