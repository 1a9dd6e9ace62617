import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Redis } from "ioredis";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { LadderReport } from "../../src/lab/ladder/ladder-report.ts";
import { figure } from "../../src/lab/markdown.ts";
import { Command, dibs } from "../command.ts";
import { type RedisServer, startRedis } from "../redis/servers/redis-server.ts";

const SMALL = ["--rungs", "lists,fused,dibs", "--depth", "200", "--callers", "1,8", "--seconds", "0.05"];

let server: RedisServer;
let client: Redis;
let folder: string;
beforeAll(async () => {
  server = await startRedis();
  client = new Redis({ host: server.host, port: server.port });
  folder = await mkdtemp(join(tmpdir(), "dibs-ladder-"));
});
afterAll(async () => {
  client.disconnect();
  await server.stop();
  await rm(folder, { recursive: true });
});
beforeEach(() => client.flushall());

describe("dibs ladder", () => {
  it("starts a Redis of its own, writes report, chart and tables, and says the same in all of them", async () => {
    const [save, into] = [join(folder, "reports/ladder"), join(folder, "latency.md")];
    const marks = ["<!-- ladder: made by dibs ladder, do not edit -->", "<!-- ladder: end -->"];
    await writeFile(into, `# Latency\n\nBefore.\n\n${marks[0]}\nold\n${marks[1]}\n\nAfter.\n`);

    const { code, stdout, stderr } = await dibs([
      "ladder",
      ...SMALL,
      "--no-reads",
      "--save",
      save,
      "--into",
      into,
      "--json",
    ]); // prettier-ignore

    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const report = JSON.parse(stdout) as LadderReport;
    expect(report).toMatchObject({ format: "dibs-ladder", version: 1, isComplete: true, faults: [] });
    // What was asked for, and what it is compared with.
    const names = ["sorted-set", "lists", "merged", "fused", "dibs"];
    expect(report.rungs.map(({ name }) => name)).toEqual(names);
    expect(report.rows.map(({ rung, callers }) => [callers, rung])).toEqual(
      [1, 8].flatMap((callers) => names.map((name) => [callers, name])),
    );
    for (const { rung, claimed, again, lost, factor } of report.rows) {
      expect({ rung, again, lost }).toEqual({ rung, again: 0, lost: 0 });
      expect(claimed).toBeGreaterThan(0);
      if (rung !== "sorted-set") expect(factor?.tasksPerSecond.median).toBeGreaterThan(0);
    }
    expect(report.standings.map(({ product, callers }) => [product, callers])).toEqual([
      ["dibs", 1],
      ["dibs", 8],
    ]);
    expect(JSON.parse(await readFile(`${save}.json`, "utf8"))).toEqual(report);

    const svg = await readFile(`${save}.svg`, "utf8");
    const markdown = await readFile(into, "utf8");
    for (const row of report.rows) {
      const rate = figure(row.tasksPerSecond.median);
      if (row.callers === 8) expect(svg).toContain(`<title>${row.rung}, 200 pending: ${rate}</title>`);
      expect(markdown).toMatch(new RegExp(`\\| ${row.rung} \\|.*\\| ${rate.replaceAll(".", "\\.")} \\|`));
    }
    expect(markdown).toMatch(
      /^# Latency\n\nBefore\.\n\n<!-- ladder: made[\s\S]*<!-- ladder: end -->\n\nAfter\.\n$/,
    );
    expect(markdown).not.toContain("\nold\n");
    expect(markdown).toContain("](reports/ladder.svg)");
  });

  it("leaves the keys of others on a given Redis alone, and asks before it loads it", async () => {
    await client.set("theirs", "1");
    const args = ["ladder", ...SMALL, "--no-reads", "--store", server.url];

    const asked = await dibs(args);
    const told = await dibs([...args, "--yes"]);

    expect(asked).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/holds 1 keys of others; add --yes/),
    });
    expect(told).toMatchObject({ code: 0, stdout: expect.stringMatching(/^RUNG +P50 +P99/m) });
    expect(told.stdout).toMatch(/dibs takes [\d.]+ × the cycle of fused/);
    expect(await client.keys("*")).toEqual(["theirs"]);
  });

  it("ends in order at Ctrl-C, with what was finished and nothing left behind", async () => {
    const args = [
      "ladder",
      ...SMALL,
      "--repeats",
      "100",
      "--store",
      server.url,
      "--save",
      join(folder, "part"),
    ];
    const command = new Command(args);
    await command.says(/On redis/);
    await expect.poll(() => client.dbsize()).toBeGreaterThan(0);

    command.send("SIGINT");
    const { code, stderr } = await command.ended();

    expect(code).toBe(130);
    expect(stderr).toMatch(/Interrupted/);
    expect(await client.keys("*")).toEqual([]);
    const kept = JSON.parse(await readFile(join(folder, "part.json"), "utf8")) as LadderReport;
    expect(kept.isComplete).toBe(false);
  });

  it("takes its own Redis with it when it is killed", async () => {
    const command = new Command(["ladder", ...SMALL, "--repeats", "100"]);
    const [, port] = await command.says(/at redis:\/\/127\.0\.0\.1:(\d+)/);
    const own = new Redis({ port: Number(port), lazyConnect: true, retryStrategy: () => null });
    own.on("error", () => {});
    await own.connect();

    command.send("SIGKILL");
    await command.ended();

    await expect.poll(() => own.status).toBe("end");
  });

  it("says what to do when there is no Redis to start", async () => {
    const end = await dibs(["ladder", "--quick"], { env: { PATH: folder } });

    expect(end).toMatchObject({ code: 1, stdout: "" });
    expect(end.stderr).toMatch(
      /neither redis-server nor valkey-server on PATH: install one .* --store redis:/,
    );
  });

  it.each([
    [
      ["--store", "redis+cluster://127.0.0.1:7000"],
      /single Redis, and redis\+cluster:\/\/127\.0\.0\.1:7000 names a cluster/,
    ],
    [["--store", "./data"], /redis:\/\//],
    [["--rungs", "lists,lisst"], /There is no rung lisst; the rungs are scan, /],
    [["--depth", "0"], /Expected whole numbers from 1 to 1000000/],
    [["--callers", "1,ten"], /Expected a whole number/],
    [["--repeats", "2"], /Expected a whole number from 3 to 100/],
    [["--seconds", "0"], /Expected 0\.05 to 60 seconds/],
    [["--into", "/nowhere/latency.md"], /Cannot write the ladder into \/nowhere\/latency\.md/],
  ] as const)("refuses %j before it measures anything", async (flags, message) => {
    const { code, stderr, stdout } = await dibs(["ladder", ...flags]);

    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(message);
  });

  it("refuses a Redis that would have to throw out others' keys for its tasks", async () => {
    await client.config("SET", "maxmemory", "20mb");

    const end = await dibs(["ladder", "--store", server.url]);
    await client.config("SET", "maxmemory", "0");

    expect(end).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/take about 100 MB.*smaller --depth/),
    });
  });
});
