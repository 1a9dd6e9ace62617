// The server that the tests of hostile input attack, in a process of its own: what it logs as an error, and
// how much memory it holds after a collection, it tells its parent. Needs --expose-gc.
import { Broker } from "../../dist/broker/broker.js";
import { createServer } from "../../dist/http/server.js";
import { EmbeddedStorage } from "../../dist/storage/embedded/embedded-storage.js";

const logger = {
  debug() {},
  info() {},
  warn() {},
  error: (fields, message) =>
    process.send({ kind: "error", message: `${message}: ${fields.err?.stack ?? JSON.stringify(fields)}` }),
  isLevelEnabled: () => false,
};
const storage = await EmbeddedStorage.open();
const broker = await Broker.open(storage, { logger });
const server = await createServer(broker, { logger, requestTimeoutMs: Number(process.argv[2]) });
const url = await server.listen({ host: "127.0.0.1", port: 0 });

process.on("message", async (message) => {
  if (message === "memory") {
    // Twice, with a turn between: what was closed in the first is collected in the second.
    globalThis.gc();
    await new Promise((resolve) => setTimeout(resolve, 50));
    globalThis.gc();
    const { heapUsed, external } = process.memoryUsage();
    process.send({ kind: "memory", bytes: heapUsed + external });
  } else {
    await server.close();
    await broker.close();
    process.exit(0);
  }
});
process.send({ kind: "ready", url });
