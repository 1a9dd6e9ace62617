import { afterAll, beforeAll, expect, it } from "vitest";
import { RedisLink } from "../../src/storage/redis/link/link.ts";
import { NOTE } from "./a-script.ts";
import { type RedisSentinel, startSentinel } from "./servers/redis-sentinel.ts";
import { until } from "./servers/until.ts";

let watched: RedisSentinel;

beforeAll(async () => {
  watched = await startSentinel();
});

afterAll(() => watched.stop());

it("refuses the name of a master that no sentinel knows", async () => {
  const opened = RedisLink.open({ url: watched.url.replace(/mymaster$/, "another") }, []);

  await expect(opened).rejects.toMatchObject({
    code: "storage_unavailable",
    message: /knows no master "another"/,
  });
});

it("follows the master to another server when the sentinels have moved it", async () => {
  const link = await RedisLink.open({ url: watched.url }, [NOTE]);
  const heard: string[] = [];
  let reconnects = 0;
  link.onReconnect(() => {
    reconnects += 1;
  });
  await link.subscribe("broker:1", (text) => heard.push(text));
  await link.run(NOTE, ["{a}log"], ["before"]);
  await link.command("WAIT", "1", 5_000);

  await watched.master.kill();
  await until("it is noticed", () => link.trouble() !== undefined);
  await until("the replica has taken over", () => link.trouble() === undefined && reconnects > 0, 30_000);
  await link.run(NOTE, ["{a}log"], ["after"]);
  await link.command("PUBLISH", "broker:1", "heard");
  await until("the subscription hears", () => heard.length === 1);

  expect(await link.command("LRANGE", "{a}log", 0, -1)).toEqual(["before", "after"]);
  await link.close();
});
