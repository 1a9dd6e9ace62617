import { describe, expect, it } from "vitest";
import type { MetricsPart } from "../broker/peers.ts";
import type { QueueName } from "../task/ids.ts";
import type { ToProcess } from "./messages.ts";
import { type Asked, Questions } from "./questions.ts";

const QUEUE = "q" as QueueName;

/** A process that keeps what it was asked. */
function asked(id: number): Asked & { readonly heard: ToProcess[] } {
  const heard: ToProcess[] = [];
  return { id, heard, send: (message) => heard.push(message) };
}

function lastAsked({ heard }: { heard: ToProcess[] }): number {
  const message = heard.at(-1);
  if (message?.dibs !== "question") throw new Error("It was not asked");
  return message.asked;
}

function part(claims: number, waiting = 0): MetricsPart {
  const family = { help: "", aggregator: "sum" };
  return [
    { ...family, name: "claims", type: "counter", values: [{ labels: { queue: "q" }, value: claims }] },
    { ...family, name: "waiting", type: "gauge", values: [{ labels: {}, value: waiting }] },
  ];
}

/** What all parts together count. */
function sumOf(parts: readonly unknown[], name: string): number {
  const families = (parts as MetricsPart[]).flat().filter((family) => family.name === name);
  return families.flatMap(({ values }) => values).reduce((sum, { value }) => sum + value, 0);
}

describe("the questions of one process to the others", () => {
  it("reach all of them, and the answers come back together", async () => {
    const [one, other] = [asked(1), asked(2)];
    const questions = new Questions();
    const answers = questions.ask(3, { kind: "queue", queue: QUEUE }, [one, other]);
    for (const each of [one, other]) questions.answered(each.id, lastAsked(each), { waiting: each.id });

    expect(await answers).toEqual([{ waiting: 1 }, { waiting: 2 }]);
    expect(one.heard).toEqual([{ dibs: "question", asked: 1, question: { kind: "queue", queue: QUEUE } }]);
  });

  it("are answered at once when there is nobody else", async () => {
    expect(await new Questions().ask(1, { kind: "waiting" }, [])).toEqual([]);
  });

  it("do not wait for one that ends, and leave out one that stands still", async () => {
    const [ending, still] = [asked(1), asked(2)];
    const questions = new Questions();
    const waiting = questions.ask(3, { kind: "waiting" }, [ending]);
    questions.ended(1);
    expect(await waiting).toEqual([]);

    expect(await questions.ask(3, { kind: "waiting" }, [still])).toEqual([]);
    questions.answered(2, lastAsked(still), { q: 1 }); // Too late.
  });
});

describe("the metrics of all processes", () => {
  it("do not fall when one ends, before or while it is asked, or stands still", async () => {
    const [one, two] = [asked(1), asked(2)];
    const questions = new Questions();
    const look = async (answer: () => void, own = 10): Promise<readonly unknown[]> => {
      const answers = questions.ask(3, { kind: "metrics", own: part(own) }, [one, two]);
      answer();
      return answers;
    };
    const both = await look(() => {
      questions.answered(1, lastAsked(one), part(5, 1));
      questions.answered(2, lastAsked(two), part(7, 1));
    });
    expect([sumOf(both, "claims"), sumOf(both, "waiting")]).toEqual([12, 2]);

    // The second stands still: what it counted stays, what it was in the middle of is not known.
    const oneOnly = await look(() => questions.answered(1, lastAsked(one), part(6, 1)));
    expect([sumOf(oneOnly, "claims"), sumOf(oneOnly, "waiting")]).toEqual([13, 1]);

    // The first answers and ends before the look does.
    const ending = await look(() => {
      questions.answered(1, lastAsked(one), part(8, 1));
      questions.ended(1);
      questions.answered(2, lastAsked(two), part(7, 3));
    });
    expect([sumOf(ending, "claims"), sumOf(ending, "waiting")]).toEqual([15, 3]);

    // The one that asked ends: it is counted in the looks of others.
    questions.ended(3);
    const after = questions.ask(2, { kind: "metrics", own: part(7) }, []);
    expect(sumOf(await after, "claims")).toBe(18);
  });
});
