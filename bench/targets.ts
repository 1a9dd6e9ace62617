import { LOAD_TARGETS } from "../src/lab/load/targets.ts";
import type { Target } from "../src/lab/target.ts";

/** The rows of the table of numbers in ARCHITECTURE.md that the benchmarks here measure. */
const atMost = (what: string, unit: string, must: number, goal: number): Target => {
  return { what, unit, better: "lower", must, goal };
};
const atLeast = (what: string, unit: string, must: number, goal: number): Target => {
  return { what, unit, better: "higher", must, goal };
};

export const TARGETS = {
  claimP50: atMost("embedded claim in process, P50", "µs", 12, 6),
  claimP99: atMost("embedded claim in process, P99", "µs", 80, 40),
  cycleBatch32: atLeast("embedded full cycle, batch 32", "tasks/s", 150_000, 300_000),
  cycleCallers: atLeast("embedded full cycle, 50 single callers", "tasks/s", 80_000, 200_000),
  cyclePower: atLeast("embedded full cycle, 50 callers in power mode", "tasks/s", 10_000, 25_000),
  depthP50: atMost("claim P50 at 1M pending", "× 1k", 1.2, 1.1),
  restart: atMost("restart, embedded, 1M pending", "s", 4, 2),
  heapATask: atMost("heap per pending task beyond the payload cache", "bytes", 150, 60),
  memoryCounted: atMost("memory taken by what is kept", "× what is counted for it", 1, 1),
  snapshotsP99: atMost(
    "claim P99 with snapshots beyond that without, 1M pending, half of saturation",
    "ms",
    2,
    0.5,
  ),
  snapshotsDone: atLeast("snapshots in that time", "", 5, 10),
  snapshotsDisk: atMost("disk use in that time, at most", "× (twice the live data + a segment)", 1, 0.9),
  soakHeap: atMost("growth of the heap over a soak", "%", 5, 0),
  soakHeapInLife: atMost("growth of the heap within a life of the process", "%", 5, 0),
  soakHandles: atMost("growth of file handles over a soak", "%", 5, 0),
  soakHandlesInLife: atMost("growth of file handles within a life of the process", "%", 5, 0),
  soakDisk: atMost("growth of disk use over a soak", "%", 5, 0),
  soakP99: atMost("growth of the claim's P99 over a soak", "%", 10, 0),
  fillPause: atMost("GC pause max while a million come in", "ms", 20, 10),
  gcPause: LOAD_TARGETS.gcPause,
  loopDelay: LOAD_TARGETS.loopDelay,
  httpClaimP50: atMost("HTTP claim P50 at concurrency 1, embedded", "× POST no-op", 1.6, 1.35),
  httpClaims: atLeast("HTTP claims/s at 50 connections, embedded", "× no-op", 0.8, 0.95),
  openLoopP50: LOAD_TARGETS.p50,
  openLoopP99: LOAD_TARGETS.p99,
  openLoopP999: LOAD_TARGETS.p999,
  openLoopErrors: LOAD_TARGETS.errors,
  redisClaimNoop: atMost("Redis claim P50, one caller", "× no-op script", 1.45, 1.25),
  redisClaimPeer: atMost("Redis claim P50, one caller", "× BullMQ", 0.7, 0.7),
  redisClaims: atLeast("Redis claims/s", "× BullMQ", 5, 8),
  redisClaimsP99: atMost("Redis claim P99", "× BullMQ", 0.25, 0.15),
  worker1: atLeast("Worker with a no-op handler, concurrency 1", "× BullMQ", 2, 2.5),
  worker50: atLeast("Worker with a no-op handler, concurrency 50", "× BullMQ", 3, 5),
  worker200: atLeast("Worker with a no-op handler, concurrency 200", "× BullMQ", 3, 6),
  startNear: atMost("enqueue → handler start, 200/s, one process, P50", "× BullMQ", 0.25, 0.18),
  startAcross: atMost("enqueue → handler start, 200/s, across processes, P50", "× BullMQ", 0.6, 0.35),
  redisHttpClaimP50: atMost("HTTP claim P50 at concurrency 1, Redis", "× POST no-op", 2.5, 2.2),
  redisDepthP50: atMost("Redis claim P50 at 1M pending", "× 1k", 1.2, 1.1),
  redisDepthServer: atMost("Redis claim server time at 1M pending", "× 1k", 1.2, 1.1),
  redisBytesATask: atMost("Redis bytes per pending task beyond the payload", "bytes", 220, 120),
  idleCommands: atMost("commands a second with 1,000 parked claims", "/s", 2, 1),
  longestStep: atMost("longest step of an operator or a loop in Redis at 1M tasks", "ms", 5, 5),
  recoveryP99: atMost("redelivery after kill -9 of a worker, P99 beyond the lease", "ms", 100, 100),
} as const;
