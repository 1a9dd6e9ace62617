import { defineConfig } from "vitest/config";

// Two kinds of tests, one after the other. Those of one process run two files at a time. Those of the whole
// system start servers, workers and npm; run together they would only wait for each other, so they run one
// file at a time, on a dist that is built first.
const oneProcess = ["src/**/*.test.ts", "test/{model,storage,http,broker}/**/*.test.ts"];

export default defineConfig({
  test: {
    maxWorkers: 2,
    testTimeout: 20_000,
    hookTimeout: 20_000,
    projects: [
      {
        extends: true,
        test: { name: "process", include: oneProcess, sequence: { groupOrder: 0 } },
      },
      {
        extends: true,
        test: {
          name: "system",
          include: ["test/**/*.test.ts"],
          exclude: oneProcess,
          globalSetup: "./test/build-first.mjs",
          fileParallelism: false,
          testTimeout: 60_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 1 },
        },
      },
    ],
  },
});
