import type { Rung } from "../rung.ts";
import { TaskHashes } from "../task-hashes.ts";
import type { Command } from "../wire.ts";

const PAGE = 1_000;

/** What order costs when nothing keeps it: all tasks are looked at, for the most urgent one. */
export const scanAll: Rung = {
  name: "scan-all",
  what: "The same with the order that a queue promises: every task is looked at for the most urgent and oldest one, in pipelines of 1,000; one caller only, for it takes the server to itself",
  isSafe: false,
  isOrdered: true,
  batch: 1,
  callersMax: 1,
  over: "scan",
  open: (place) =>
    TaskHashes.open(place, [], (hashes, n) => ({
      async claim() {
        let best: Candidate | undefined;
        for await (const keys of hashes.pages(n, PAGE)) {
          const looks = keys.map((key): Command => ["HMGET", key, "status", "priority", "number"]);
          const found = (await hashes.wire.pipeline(n, looks)) as [string | null, string, string][];
          found.forEach(([status, priority, number], at) => {
            const candidate = { key: keys[at] as string, priority: Number(priority), number: Number(number) };
            if (status === "pending" && isBefore(candidate, best)) best = candidate;
          });
        }
        if (best === undefined) return [];
        const { key } = best as Candidate;
        const [data] = await hashes.wire.pipeline(n, [
          ["HGET", key, "data"],
          ["HSET", key, "status", "claimed"],
        ]);
        return data === null ? [] : [hashes.idOf(key)];
      },
      complete: (ids) => hashes.complete(n, ids),
    })),
};

interface Candidate {
  readonly key: string;
  readonly priority: number;
  readonly number: number;
}

function isBefore(one: Candidate, other: Candidate | undefined): boolean {
  if (other === undefined) return true;
  return one.priority === other.priority ? one.number < other.number : one.priority > other.priority;
}
