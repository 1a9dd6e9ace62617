import { expect, it } from "vitest";
import { replicasOf } from "./redis-replicas.ts";

it("reads of a master's INFO where its replicas are, and how far behind", () => {
  const replicas = replicasOf({
    connected_slaves: "2",
    slave0: "ip=10.0.0.2,port=6380,state=online,offset=900,lag=1",
    slave1: "ip=fd00::2,port=6381,state=wait_bgsave,offset=0,lag=0",
    slave_read_only: "1",
    master_repl_offset: "1000",
  });

  expect(replicas).toEqual([
    { where: "10.0.0.2:6380", state: "online", behindBytes: 100, silentS: 1 },
    { where: "[fd00::2]:6381", state: "wait_bgsave", behindBytes: 1_000, silentS: 0 },
  ]);
});
