import { describe, expect, it } from "vitest";
import { filesIn, linesWhere, read } from "./source-tree.ts";

// The rules of the house for the scripts that run inside Redis. While one runs, everybody else waits (I9).
const all = filesIn("src").filter((path) => path.endsWith(".lua"));
const scripts = all.filter((path) => !path.includes("/lib/"));

/** What each script says of itself in its first lines, before any code. */
const HEADER = ["KEYS", "ARGV", "Reply", "Cost", "Bound"];
/** Commands whose cost grows with what is stored, or that empty what others use. */
const UNBOUNDED =
  /"(KEYS|SCAN|SSCAN|HSCAN|ZSCAN|SMEMBERS|HKEYS|HVALS|SORT|LREM|LINSERT|DEL|FLUSHDB|FLUSHALL)"/;
/** The whole of a list or set, whatever its size. */
const WHOLE = /"(LRANGE|ZRANGE|ZREVRANGE|LTRIM)",[^,]+, 0, -1/;

const headerOf = (path: string) => read(path).split(/^(?!--)/m, 1)[0] as string;

describe("the scripts", () => {
  it("begin with what they do, take, reply, cost and are bounded by", () => {
    const missing = scripts.flatMap((path) => {
      const header = headerOf(path);
      const absent = HEADER.filter((word) => !new RegExp(`^-- ${word} +\\S`, "m").test(header));
      return [
        ...(/^-- [A-Z]/.test(header) ? [] : [`${path}: what it does`]),
        ...absent.map((word) => `${path}: ${word}`),
      ];
    });

    expect(missing).toEqual([]);
    expect(scripts.length).toBeGreaterThan(10);
  });

  it("call nothing whose cost grows with what is stored", () => {
    expect(linesWhere(all, (line) => UNBOUNDED.test(line) || WHOLE.test(line))).toEqual([]);
  });

  it("take every key from KEYS, and the time from the server alone", () => {
    const spelled = (line: string) => /call\("[A-Z]+", *"/.test(line);
    const timed = (line: string) => /\bos\.(time|clock)\b|math\.random/.test(line);

    expect(linesWhere(all, (line) => spelled(line) || timed(line))).toEqual([]);
  });

  it("keep to 130 columns and to one noun, at most 250 lines", () => {
    expect(linesWhere(all, (line) => line.length > 130)).toEqual([]);
    expect(all.filter((path) => read(path).split("\n").length > 251)).toEqual([]);
  });
});
