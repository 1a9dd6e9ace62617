import type { Connection } from "./connection.ts";

const PREPARE_MS = 5_000;

/** Makes a new connection ready for use within five seconds, or ends it and rejects. */
export async function prepared(connection: Connection, work: () => Promise<unknown>): Promise<Connection> {
  const timer = setTimeout(() => connection.end("no answer in time"), PREPARE_MS);
  try {
    await work();
    return connection;
  } catch (error) {
    connection.end("it could not be made ready");
    throw error;
  } finally {
    clearTimeout(timer);
  }
}
