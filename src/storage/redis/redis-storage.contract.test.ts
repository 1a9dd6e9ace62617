import { describe, it } from "vitest";
import { openedAt, TIME_FLOWS } from "../../../test/redis/opened.ts";
import { startRedis } from "../../../test/redis/servers/redis-server.ts";
import { redisUrl } from "../../../test/redis/servers/redis-url.ts";
import { storageContract } from "../contract/storage-contract.ts";

// The same on a cluster and behind Sentinel: test/redis/contract-*.test.ts, files of their own to run beside.
const plain = await redisUrl();
storageContract("Redis, standalone", { describe, it }, () => openedAt(plain), TIME_FLOWS);

const { url } = await startRedis({ appendonly: "everysec" });
storageContract(
  "Redis, standalone with an append-only file",
  { describe, it },
  () => openedAt(url),
  TIME_FLOWS,
);
