import { describe, it } from "vitest";
import { storageContract } from "../../src/storage/contract/storage-contract.ts";
import { openedAt, TIME_FLOWS } from "./opened.ts";
import { startSentinel } from "./servers/redis-sentinel.ts";

const { url } = await startSentinel({ appendonly: "everysec" });
storageContract("Redis behind Sentinel, with a replica", { describe, it }, () => openedAt(url), TIME_FLOWS);
