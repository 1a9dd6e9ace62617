import { randomBytes } from "node:crypto";
import { startRedis } from "./redis-server.ts";

let started: Promise<string> | undefined;

/**
 * The address of a plain standalone Redis for tests that do it no harm: `DIBS_TEST_REDIS_URL` when set, else
 * one that this process starts once. Others may use it too, so take {@link freshPrefix}, and no FLUSHALL.
 */
export function redisUrl(): Promise<string> {
  const given = process.env["DIBS_TEST_REDIS_URL"];
  if (given !== undefined && given !== "") return Promise.resolve(given);
  started ??= startRedis().then((server) => server.url);
  return started;
}

/** A key prefix that nobody else has. */
export function freshPrefix(): string {
  return `dibs-test-${randomBytes(6).toString("hex")}`;
}
