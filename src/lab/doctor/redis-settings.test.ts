import { expect, it } from "vitest";
import { settingsFindings } from "./redis-settings.ts";

it.each([
  ["noeviction", "67108864", "green"],
  ["allkeys-lru", "67108864", "red"],
  ["allkeys-lru", "0", "yellow"],
  ["volatile-ttl", "67108864", "yellow"],
])("judges maxmemory-policy %s with maxmemory %s as %s", (policy, maxmemory, colour) => {
  const config = { "maxmemory-policy": policy, appendonly: "yes", appendfsync: "everysec" };
  const findings = settingsFindings({ where: "here", info: { redis_version: "7.0.15", maxmemory }, config });

  expect(findings.find(({ check }) => check === "eviction")).toMatchObject({ colour });
});
