import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { newTaskId, parseQueueName, parseTaskId, type QueueName, queueOf, randomPartOf } from "./ids.ts";
import { LIMITS } from "./limits.ts";

const aQueueName = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/).map((text) => text as QueueName);

describe("a task id", () => {
  it("carries its queue, parses to itself and is safe in a URL", () => {
    fc.assert(
      fc.property(aQueueName, (queue) => {
        const id = newTaskId(queue);
        expect(parseTaskId(id)).toBe(id);
        expect(queueOf(id)).toBe(queue);
        expect(`${queue}~${randomPartOf(id)}`).toBe(id);
        expect(id.length).toBeLessThanOrEqual(LIMITS.idLengthMax);
        expect(encodeURIComponent(id)).toBe(id);
      }),
    );
  });

  it("is never made twice", () => {
    const queue = "emails" as QueueName;
    const ids = Array.from({ length: 50_000 }, () => newTaskId(queue));

    expect(new Set(ids).size).toBe(ids.length);
  });

  it("uses all 96 bits of its random part", () => {
    const seen = Buffer.alloc(12);
    for (let i = 0; i < 1_000; i += 1) {
      const bytes = Buffer.from(randomPartOf(newTaskId("q" as QueueName)), "base64url");
      for (const [at, byte] of bytes.entries()) seen[at] = (seen[at] as number) | byte;
    }

    expect(seen).toEqual(Buffer.alloc(12, 0xff));
  });

  it.each([
    ["nothing", ""],
    ["a queue alone", "emails"],
    ["no queue", "~AAAAAAAAAAAAAAAA"],
    ["a random part too short", "emails~AAAAAAAAAAAAAAA"],
    ["a random part too long", "emails~AAAAAAAAAAAAAAAAA"],
    ["a character outside base64url", "emails~AAAAAAAAAAAAAAA+"],
    ["a line break at the end", "emails~AAAAAAAAAAAAAAAA\n"],
    ["a queue name with a slash", "a/b~AAAAAAAAAAAAAAAA"],
    ["a queue name that begins with a dot", ".a~AAAAAAAAAAAAAAAA"],
    ["a queue name over 100 characters", `${"q".repeat(101)}~AAAAAAAAAAAAAAAA`],
    ["a text over 128 characters", `${"q".repeat(112)}~AAAAAAAAAAAAAAAA`],
    ["two separators", "a~b~AAAAAAAAAAAAAAAA"],
  ])("is not %s", (_, text) => {
    expect(parseTaskId(text)).toBeUndefined();
  });

  it("with one character changed is an id only when it still looks like one", () => {
    const looksLikeOne = /^[A-Za-z0-9][A-Za-z0-9._-]{0,99}~[A-Za-z0-9_-]{16}$(?!\n)/;
    const aCharacter = fc.constantFrom(..."aZ0~._-+/= \nä");
    fc.assert(
      fc.property(aQueueName, fc.nat(), aCharacter, (queue, at, character) => {
        const id = newTaskId(queue);
        const changed = id.slice(0, at % id.length) + character + id.slice((at % id.length) + 1);
        expect(parseTaskId(changed)).toBe(looksLikeOne.test(changed) ? changed : undefined);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe("a queue name", () => {
  it.each(["a", "0", "emails", "eu-west.emails_2", "q".repeat(100)])("may be %s", (name) => {
    expect(parseQueueName(name)).toBe(name);
  });

  it.each(["", ".a", "-a", "_a", "a/b", "a b", "a~b", "ä", "a\n", "q".repeat(101)])(
    "may not be %j",
    (name) => {
      expect(parseQueueName(name)).toBeUndefined();
    },
  );
});
