import { afterAll, describe } from "vitest";
import { ManualClock } from "../../src/clock.ts";
import { RedisStorage } from "../../src/storage/redis/redis-storage.ts";
import { OffsetClock } from "../../src/storage/redis/server-clock.ts";
import { ArrowCounts } from "../model/arrows.ts";
import { commandsWith } from "../model/commands.ts";
import { COARSE, STEP_MS } from "../model/durations.ts";
import { playAgainstModel, type Stage } from "../model/runs.ts";
import { type Real, World } from "../model/world.ts";
import { startCluster } from "./servers/redis-cluster.ts";
import { startRedis } from "./servers/redis-server.ts";
import { freshPrefix } from "./servers/redis-url.ts";
import { steppedStorage } from "./stepped-storage.ts";

/** The time of the model, and with it the shift of the engine's. */
class BothClocks extends ManualClock {
  readonly offset = new OffsetClock();

  override advance(ms: number): void {
    super.advance(ms);
    this.offset.advance(ms);
  }
}

const server = await startRedis({ appendonly: "always" });
const cluster = await startCluster();
afterAll(() => Promise.all([server.stop(), cluster.stop()]));

describe("the storage port on Redis that is killed now and then", () => {
  const arrows = new ArrowCounts();
  const killAndRestart = async () => {
    await server.kill();
    await server.restart();
  };
  playAgainstModel(commandsWith(COARSE), () => setUp(server.url, arrows, killAndRestart), arrows, {
    runs: 100,
    eachArrow: 3,
  });
});

describe("the storage port on a Redis Cluster", () => {
  const arrows = new ArrowCounts(["leased → dead (release 101)"]);
  const nothingDies = async () => {};
  playAgainstModel(commandsWith(COARSE), () => setUp(cluster.url, arrows, nothingDies), arrows, {
    runs: 40,
    eachArrow: 1,
  });
});

/** `kill` may end the servers, which then hold all that they acknowledged; the engine is opened anew after it. */
async function setUp(
  url: string,
  arrows: ArrowCounts,
  kill: () => Promise<void>,
): Promise<Stage<World, Real>> {
  const start = Date.now();
  const clock = new BothClocks(start);
  const prefix = freshPrefix();
  const open = () => RedisStorage.open({ url, prefix, clockOffset: clock.offset });
  let storage = await open();
  const stepped = () => steppedStorage(storage, start, STEP_MS);
  const real: Real = {
    storage: stepped(),
    async reopen() {
      await storage.close();
      storage = await open();
      real.storage = stepped();
    },
    async crash() {
      const lost = storage;
      await kill();
      storage = await open();
      real.storage = stepped();
      await lost.close();
    },
  };
  return {
    model: new World(clock, arrows, { dueMayBeEarly: true, timeFlows: true }),
    real,
    close: () => storage.close(),
  };
}
