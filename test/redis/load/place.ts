import { Broker } from "../../../src/broker/broker.ts";
import { LocalConnection } from "../../../src/local-connection.ts";
import type { Connection } from "../../../src/sdk/connection.ts";
import { HttpConnection } from "../../../src/sdk/http-connection.ts";
import { RedisStorage } from "../../../src/storage/redis/redis-storage.ts";

/** Where participants connect to: a server over HTTP, or a broker of their own over Redis. Plain data. */
export interface Place {
  readonly url: string;
  readonly prefix?: string;
  readonly commandTimeoutMs?: number;
}

export async function openPlace({ url, ...options }: Place): Promise<Connection> {
  if (url.startsWith("http:")) return new HttpConnection(new URL(url), {});
  return new LocalConnection(await Broker.open(await RedisStorage.open({ url, ...options })), url);
}
