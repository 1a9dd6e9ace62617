import { mkdtemp, readdir, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { Diagnosis } from "../../src/lab/doctor/diagnosis.ts";
import { Command, dibs } from "../command.ts";
import { Serving } from "../http/serving.ts";
import { freePort } from "../redis/servers/free-port.ts";
import { type RedisServer, startRedis } from "../redis/servers/redis-server.ts";
import { until } from "../redis/servers/until.ts";
import { LookedAt } from "./doctor-look.ts";

const closers: (() => unknown)[] = [];
let redis: RedisServer;

beforeAll(async () => {
  redis = await startRedis({ appendonly: "everysec" });
});
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});
afterAll(() => redis.stop());

async function serving(options: Parameters<typeof Serving.start>[0] = {}): Promise<Serving> {
  const server = await Serving.start({ realTime: true, ...options });
  closers.push(() => server[Symbol.asyncDispose]());
  return server;
}

function server(url: string, token?: string): Promise<LookedAt> {
  return LookedAt.at({ kind: "server", url: new URL(url), ...(token !== undefined && { token }) });
}

describe("a server", () => {
  it("is looked at through its own door, and has no queue more afterwards", async () => {
    const { url, storage, broker } = await serving();
    await dibs(["enqueue", "emails", "1", "--url", url]);

    const look = await server(url);

    expect(look.troubles).toEqual([]);
    expect(look.line("queues").figure).toBe("1");
    expect(look.line("counts").figure).toBe("1 task, the sums add up");
    expect(look.line("storage errors").figure).toBe("none meanwhile, 0 since its start");
    expect(look.lines("event-loop delay, P99").map(({ where }) => where)).toEqual(["this machine", url]);
    expect(await storage.queues()).toEqual(["emails"]);
    expect(await broker.metrics.render()).not.toContain("doctor");
  });

  it("that wants a token says so, and lets in who has it", async () => {
    const { url } = await serving({ tokens: ["s3cret-of-the-server"] });

    const refused = await server(url);
    const admitted = await server(url, "s3cret-of-the-server");

    expect(refused.line("access")).toMatchObject({
      colour: "red",
      advice: expect.stringMatching(/--token, or better DIBS_TOKEN/),
    });
    expect(admitted.troubles).toEqual([]);
    expect(JSON.stringify(admitted.diagnosis)).not.toContain("s3cret");
  });

  it("that is none of Dibs is told apart", async () => {
    const other = createServer((_, response) => response.end("hello")).listen(0, "127.0.0.1");
    closers.push(() => other.close());
    await until("it listens", () => other.listening);

    const look = await server(`http://127.0.0.1:${(other.address() as AddressInfo).port}`);

    expect(look.line("access")).toMatchObject({
      colour: "red",
      figure: "200: hello",
      advice: expect.stringMatching(/does not look like a server of Dibs/),
    });
  });
});

describe("dibs doctor", () => {
  it("ends with 0 when nothing is red, and shows a line for each thing", async () => {
    const { code, stdout, stderr } = await dibs(["doctor", redis.url, "-i", "1"]);

    expect(stderr).toBe("");
    expect(stdout).toContain(`Dibs doctor: ${redis.url}`);
    expect(stdout).toMatch(/^green +persistence +127\.0\.0\.1:\d+ +a power cut costs a second or two/m);
    expect(stdout).toMatch(/^\d+ red, \d+ yellow, \d+ green$/m);
    expect(code).toBe(/^red/m.test(stdout) ? 1 : 0);
  });

  it("ends with 1 when something is red, or with --strict yellow, and says what to do", async () => {
    const bad = await startRedis({ args: ["--appendonly", "yes", "--appendfsync", "no"] });
    closers.push(() => bad.stop());
    const strict = await dibs(["doctor", bad.url, "-i", "1", "--strict"]);
    const gone = await dibs(["doctor", `redis://127.0.0.1:${await freePort()}`]);

    expect(strict.stdout).toMatch(/^yellow +persistence.*\n +→ .*set it to everysec or always$/m);
    expect(strict.code).toBe(1);
    expect(gone.stdout).toMatch(/^red +connecting.*\n +→ .*nothing listens there/m);
    expect(gone.code).toBe(1);
  });

  it("prints JSON and nothing else with --json, a line for each look", async () => {
    const { stdout, code } = await dibs([
      "doctor",
      redis.url,
      "--json",
      "--watch",
      "--count",
      "2",
      "-i",
      "1",
    ]);

    const looks = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Diagnosis);
    expect(looks).toHaveLength(2);
    for (const { kind, place, colour, findings, roundTrips } of looks) {
      expect({ kind, place }).toEqual({ kind: "redis", place: redis.url });
      expect(findings.some((finding) => finding.colour === colour)).toBe(true);
      expect(
        findings.every((finding) => (finding.advice === undefined) === (finding.colour === "green")),
      ).toBe(true);
      const [trips] = roundTrips;
      expect(trips?.minMs).toBeLessThanOrEqual(trips?.meanMs as number);
      expect(trips?.p99Ms).toBeLessThanOrEqual(trips?.maxMs as number);
    }
    expect(code).toBe(looks.some(({ colour }) => colour === "red") ? 1 : 0);
  });

  it("shows with --watch a history, and what has changed", async () => {
    const own = await startRedis({ appendonly: "everysec" });
    closers.push(() => own.stop());
    const command = new Command(["doctor", own.url, "--watch", "-i", "1"]);
    closers.push(() => command.send("SIGKILL"));
    const history =
      /^\d\d:\d\d:\d\d {2}127\.0\.0\.1:\d+ {2}min [\d.]+, mean [\d.]+, P99 [\d.]+, max [\d.]+ ms/gm;
    const linesOfHistory = () => command.stdout.match(history)?.length ?? 0;
    await until("two looks were taken", () => linesOfHistory() >= 2);
    expect(command.stdout.match(/^green +version/gm)).toHaveLength(1);

    await own.stop();
    await until("it says that the server is gone", () => /^red +connecting/m.test(command.stdout));
    command.send("SIGINT");

    expect((await command.ended()).code).toBe(130);
  });

  it("reports what it has seen when it is interrupted, and leaves nothing behind", async () => {
    const folder = await mkdtemp(join(tmpdir(), "dibs-doctor-"));
    closers.push(() => rm(folder, { recursive: true, force: true }));
    await dibs(["enqueue", "emails", "1", "--store", folder]);
    const command = new Command(["doctor", folder, "-i", "3600"]);
    closers.push(() => command.send("SIGKILL"));
    // Nothing is shown before the end: what it has made in the folder is gone when it measures the machine.
    const isProbing = async () => (await readdir(folder)).some((name) => name.startsWith("doctor-"));
    await until("it measures the disk", isProbing);
    await until("it has measured the disk", async () => !(await isProbing()));
    command.send("SIGINT");

    const { code, stdout, stderr } = await command.ended();
    expect(stdout).toMatch(/^\w+ +disk sync/m);
    expect(stderr).toContain("Interrupted");
    expect(code).toBe(130);
  });

  it.each([
    [["./nowhere"], /There is no store at/],
    [["memory:"], /ends with its process/],
    [["ftp://host"], /Expected the place to be http:\/\/…, redis:\/\/… or a folder, got ftp:…/],
    [["redis://host", "--url", "http://host"], /name two places/],
    [["--count", "2"], /--count belongs to --watch/],
    [["-i", "0"], /seconds from 1 to 3600/],
    [["./data", "--prefix", "x"], /--prefix/],
  ])("refuses %j", async (args, reason) => {
    const { code, stderr } = await dibs(["doctor", ...args]);

    expect(stderr).toMatch(reason);
    expect(code).toBe(2);
  });
});
