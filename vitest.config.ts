import { defineConfig } from "vitest/config";

// Three kinds of tests, one after the other. Those of one process run two files at a time. So do those of the
// Redis engine, which start real servers and often wait for them. Those of the whole system start servers,
// workers and npm; run together they would only wait for each other, so they run one file at a time. The last
// two run on a dist that is built first.
const redis = ["src/storage/redis/**/*.test.ts", "test/redis/**/*.test.ts"];
const oneProcess = ["src/**/*.test.ts", "test/{model,storage,http,broker}/**/*.test.ts"];
const wholeSystem = { globalSetup: "./test/build-first.mjs", testTimeout: 60_000, hookTimeout: 60_000 };

export default defineConfig({
  test: {
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    projects: [
      {
        extends: true,
        test: { name: "process", include: oneProcess, exclude: redis, sequence: { groupOrder: 0 } },
      },
      {
        extends: true,
        test: { name: "redis", include: redis, ...wholeSystem, sequence: { groupOrder: 1 } },
      },
      {
        extends: true,
        test: {
          name: "system",
          include: ["test/**/*.test.ts"],
          exclude: [...oneProcess, ...redis],
          ...wholeSystem,
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
