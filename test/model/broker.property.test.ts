import { describe } from "vitest";
import { Broker } from "../../src/broker/broker.ts";
import { ManualClock } from "../../src/clock.ts";
import { EmbeddedStorage } from "../../src/storage/embedded/embedded-storage.ts";
import { MemoryDisk } from "../../src/storage/embedded/memory-disk.ts";
import { ArrowCounts } from "./arrows.ts";
import { BROKER_COMMANDS, RANDOM } from "./broker-commands.ts";
import { BrokerWorld, type RealBroker } from "./broker-world.ts";
import { playAgainstModel, type Stage } from "./runs.ts";
import { World } from "./world.ts";

const arrows = new ArrowCounts(["leased → dead (release 101)"]);

describe("the broker on the embedded engine", () => {
  playAgainstModel(BROKER_COMMANDS, setUp, arrows, { runs: 400, eachArrow: 100 });
});

async function setUp(): Promise<Stage<BrokerWorld, RealBroker>> {
  const clock = new ManualClock();
  const disk = new MemoryDisk();
  const open = async () => {
    const storage = await EmbeddedStorage.open({ disk, durability: "process", clock, reserveBytes: 0 });
    return { storage, broker: await Broker.open(storage, { random: () => RANDOM }) };
  };
  const real: RealBroker = {
    ...(await open()),
    async reopen() {
      await real.broker.close();
      Object.assign(real, await open());
    },
  };
  return { model: new BrokerWorld(new World(clock, arrows)), real, close: () => real.broker.close() };
}
