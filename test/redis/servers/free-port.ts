import { once } from "node:events";
import { createServer } from "node:net";

// A cluster node also listens 10,000 above its port. Both ranges lie below those that systems take outgoing
// connections' ports from, and above the well-known ones.
const LOWEST = 12_000;
const HIGHEST = 19_999;
const BUS_OFFSET = 10_000;
const TRIES = 100;

/** A port of the loopback interface that nobody listens on, and nobody 10,000 above it, at this moment. */
export async function freePort(): Promise<number> {
  for (let n = 0; n < TRIES; n += 1) {
    const port = LOWEST + Math.floor(Math.random() * (HIGHEST - LOWEST + 1));
    if ((await isFree(port)) && (await isFree(port + BUS_OFFSET))) return port;
  }
  throw new Error(`Found no free port between ${LOWEST} and ${HIGHEST} in ${TRIES} tries`);
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
  } catch {
    return false; // Taken.
  }
  server.close();
  await once(server, "close");
  return true;
}
