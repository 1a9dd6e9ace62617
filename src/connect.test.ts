import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connect, openConnection } from "./connect.ts";
import { InvalidRequestError, StorageUnavailableError } from "./task/errors.ts";

describe("connect", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "dibs-connect-"));
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  it("keeps tasks in a folder, however it is written", async () => {
    const place = join(folder, "data");
    const dotted = `./${relative(process.cwd(), place)}`;
    for (const url of [place, pathToFileURL(place).href, dotted]) {
      await using dibs = await connect(url);
      await dibs.enqueue("q", url);
    }

    await using dibs = await connect(place);
    const tasks = await dibs.claim({ queues: ["q"], max: 10 });

    expect(tasks.map(({ payload }) => payload)).toEqual([place, pathToFileURL(place).href, dotted]);
  });

  it("keeps nothing of memory:, and each is its own", async () => {
    await using one = await connect("memory:");
    await using other = await connect("memory:");
    await one.enqueue("q");

    expect(await other.queues()).toEqual([]);
  });

  it("says who holds a folder, and the ways out", async () => {
    const place = join(folder, "held");
    await using _ = await connect(place);

    const second = connect(place);

    await expect(second).rejects.toBeInstanceOf(StorageUnavailableError);
    await expect(second).rejects.toThrow(new RegExp(`${process.pid}[\\s\\S]*dibs serve`));
  });

  it("needs no server before the first call, and names it then", async () => {
    await using dibs = await connect("http://127.0.0.1:9");

    expect(dibs.place).toBe("http://127.0.0.1:9");
    await expect(dibs.queues()).rejects.toMatchObject({ code: "connection_lost", retryable: true });
    await expect(dibs.queues()).rejects.toThrow(/http:\/\/127\.0\.0\.1:9: connection refused; is the server/);
  });

  it("says that no Redis is there, and keeps the password to itself", async () => {
    const refused = connect("redis://:hunter2@127.0.0.1:9");

    await expect(refused).rejects.toBeInstanceOf(StorageUnavailableError);
    await expect(refused).rejects.toThrow(/127\.0\.0\.1:9/);
    await expect(refused).rejects.not.toThrow(/hunter2/);
  });

  it.each([
    ["redis://a:1,b:2", /names several servers: say redis\+cluster/],
    ["redis+sentinel://a", /lacks the name of the master/],
    ["data", /Expected a place to connect to: .*got "data"/],
    ["ftp://127.0.0.1", /Expected a place/],
    ["http://", /Expected a URL/],
    ["", /Expected a place/],
  ])("refuses %s", async (url, message) => {
    const refused = connect(url);

    await expect(refused).rejects.toBeInstanceOf(InvalidRequestError);
    await expect(refused).rejects.toThrow(message);
  });

  it.each([
    ["http://127.0.0.1:9", { durability: "power" }, /http:\/\/ has no option durability; it knows token/],
    ["memory:", { durability: "power" }, /memory: has no option durability/],
    ["./never-made", { token: "t" }, /folder has no option token; it knows durability, payloadBytesMax/],
    ["./never-made", { durability: "fsync" }, /Expected durability to be process, power or none, got fsync/],
    ["memory:", { payloadBytesMax: 0 }, /Expected payloadBytesMax to be a whole number from 1 to 16777216/],
    ["http://127.0.0.1:9", { token: "a\nb" }, /Expected token to be printable ASCII/],
    ["redis://127.0.0.1:9", { durability: "power" }, /durability is Redis's own, set by its appendonly/],
    [
      "redis://127.0.0.1:9",
      { token: "t" },
      /Redis has no option token; it knows prefix, connections, strict/,
    ],
    ["redis://127.0.0.1:9", { prefix: "{a}" }, /prefix to be 1 to 100 characters without spaces and braces/],
    ["redis://127.0.0.1:9", { connections: 17 }, /connections to be a whole number from 1 to 16/],
    ["redis://127.0.0.1:9", { strict: "yes" }, /Expected strict to be true or false, got "yes"/],
    ["redis://127.0.0.1:9", { cache: "on" }, /Expected cache to be auto or off, got "on"/],
    ["rediss://127.0.0.1:9", { tls: { pfx: "x" } }, /tls has no option pfx/],
  ])("refuses for %s the options %o", async (url, options, message) => {
    await expect(connect(url, options as never)).rejects.toThrow(message);
  });

  it("takes a larger payload when it is told to", async () => {
    await using dibs = await connect("memory:", { payloadBytesMax: 2 * 1024 * 1024 });

    expect((await dibs.enqueue("q", "x".repeat(1_500_000))).state).toBe("ready");
  });

  it("keeps the token out of the place that it names", async () => {
    const connection = await openConnection("http://:secret@127.0.0.1:9/below/");

    expect(connection.place).toBe("http://127.0.0.1:9/below");
    await connection.close();
  });
});
