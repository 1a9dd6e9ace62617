import { describe, it } from "vitest";
import { storageContract } from "../../src/storage/contract/storage-contract.ts";
import { openedAt, TIME_FLOWS } from "./opened.ts";
import { startCluster } from "./servers/redis-cluster.ts";

const { url } = await startCluster({ masters: 3 });
storageContract("Redis Cluster, three masters", { describe, it }, () => openedAt(url), TIME_FLOWS);
