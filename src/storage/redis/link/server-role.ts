import { InvalidRequestError, StorageUnavailableError } from "../../../task/errors.ts";
import type { Connection } from "./connection.ts";
import { infoOf } from "./info.ts";

/** @throws InvalidRequestError when the URL is for another kind of Redis than the one that answers. */
export function expectMode({ greeting, where }: Connection, wanted: "standalone" | "cluster"): void {
  const { mode } = greeting;
  if (mode === wanted || mode === "") return;
  const advice: Readonly<Record<string, string>> = {
    cluster: "is a node of a cluster: write redis+cluster:// in the URL",
    standalone: "is not a node of a cluster: write redis:// in the URL",
    sentinel: "is a sentinel: write redis+sentinel:// and the name of its master in the URL",
  };
  throw new InvalidRequestError(`The Redis at ${where} ${advice[mode] ?? `is in an unknown mode, ${mode}`}`);
}

/** @throws StorageUnavailableError when the server is a replica. */
export async function expectMaster(connection: Connection): Promise<void> {
  const { role } = connection.greeting;
  if (role === "master" || role === "") return;
  const info = infoOf(await connection.ask("INFO", ["replication"]).catch(() => ""));
  const master = `${info["master_host"] ?? "another host"}:${info["master_port"] ?? "its port"}`;
  throw new StorageUnavailableError(
    `The Redis at ${connection.where} is a replica of ${master} and takes no writes: connect to the master, or by way of sentinels with redis+sentinel://`,
    { details: { applied: "no" } },
  );
}
