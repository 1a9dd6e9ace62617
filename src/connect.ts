import { isAbsolute } from "node:path";
import { fileURLToPath } from "node:url";
import { Dibs } from "./sdk/client.ts";
import type { Connection } from "./sdk/connection.ts";
import { HttpConnection } from "./sdk/http-connection.ts";
import { checkWhole, refuseUnknown } from "./sdk/options.ts";
import { InvalidRequestError } from "./task/errors.ts";
import { LIMITS } from "./task/limits.ts";

/** For a server over HTTP. */
export interface HttpConnectOptions {
  /** Sent as `Authorization: Bearer …`. It may also stand in the URL: `https://:token@host`. */
  readonly token?: string;
}

/** For a store in this process: a folder, or memory. */
export interface EmbeddedConnectOptions {
  /**
   * What an acknowledged call survives. `process` (default): the end of the process; a power cut costs at most a
   * second. `power`: a power cut too. `none`: nothing, there is no disk. Only for a folder.
   */
  readonly durability?: "process" | "power" | "none";
  /** The largest payload or result, bytes. Default 1 MiB, at most 16 MiB. */
  readonly payloadBytesMax?: number;
}

export type ConnectOptions = HttpConnectOptions | EmbeddedConnectOptions;

/**
 * Connects to the place where the tasks are.
 *
 * `http://…`, `https://…`: a server. `./folder`, an absolute path or a `file:` URL: the embedded store in this
 * process. `memory:`: the same without a disk. A server need not run yet: the first call finds out.
 *
 * @throws {InvalidRequestError} for another kind of place, and for an option that the place does not know.
 * @throws {StorageUnavailableError} when another process holds the folder; it says which, and what to do.
 */
export function connect(
  url: `http://${string}` | `https://${string}`,
  options?: HttpConnectOptions,
): Promise<Dibs>;
export function connect(url: "memory:", options?: Omit<EmbeddedConnectOptions, "durability">): Promise<Dibs>;
export function connect(
  url: `file:${string}` | `.${string}`,
  options?: EmbeddedConnectOptions,
): Promise<Dibs>;
export function connect(url: string, options?: ConnectOptions): Promise<Dibs>;
export async function connect(url: string, options: ConnectOptions = {}): Promise<Dibs> {
  return new Dibs(await openConnection(url, options));
}

/** What {@link connect} puts under a client; for programs that speak in the objects of the wire. */
export async function openConnection(url: string, options: ConnectOptions = {}): Promise<Connection> {
  const place = placeOf(url);
  switch (place.kind) {
    case "http":
      refuseUnknown(`A connection to ${place.url.protocol}//`, options, ["token"]);
      return httpConnection(place.url, options as HttpConnectOptions);
    case "folder":
      refuseUnknown("A connection to a folder", options, ["durability", "payloadBytesMax"]);
      return embeddedConnection(url, place.folder, options as EmbeddedConnectOptions);
    case "memory":
      refuseUnknown("A connection to memory:", options, ["payloadBytesMax"]);
      return embeddedConnection(url, undefined, options as EmbeddedConnectOptions);
  }
}

type Place =
  | { readonly kind: "http"; readonly url: URL }
  | { readonly kind: "folder"; readonly folder: string }
  | { readonly kind: "memory" };

function placeOf(text: string): Place {
  if (text === "memory:") return { kind: "memory" };
  if (/^\.{1,2}([\\/]|$)/.test(text) || isAbsolute(text)) return { kind: "folder", folder: text };
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1]?.toLowerCase() ?? "";
  if (scheme === "file") return { kind: "folder", folder: fileURLToPath(text) };
  if (scheme === "http" || scheme === "https") return { kind: "http", url: urlOf(text) };
  if (/^(redis|valkey)/.test(scheme)) {
    throw new InvalidRequestError(
      `${scheme}: comes with the Redis engine, which this version does not have yet`,
    );
  }
  throw new InvalidRequestError(
    `Expected a place to connect to: http://…, https://…, ./folder, an absolute path, file:… or memory:, got ${JSON.stringify(text)}`,
  );
}

function urlOf(text: string): URL {
  if (URL.canParse(text)) return new URL(text);
  throw new InvalidRequestError(`Expected a URL like http://127.0.0.1:4510, got ${JSON.stringify(text)}`);
}

function httpConnection(url: URL, options: HttpConnectOptions): Connection {
  const token = options.token ?? decodeURIComponent(url.password || url.username);
  if (!/^[\x21-\x7e]*$/.test(token)) {
    throw new InvalidRequestError("Expected token to be printable ASCII without spaces");
  }
  return new HttpConnection(url, token === "" ? {} : { token });
}

/** The engine is loaded when it is asked for: a client over HTTP needs none of it. */
async function embeddedConnection(
  place: string,
  folder: string | undefined,
  options: EmbeddedConnectOptions,
): Promise<Connection> {
  const { durability, payloadBytesMax } = options;
  checkEmbedded(options);
  const [{ EmbeddedStorage }, { Broker }, { LocalConnection }] = await Promise.all([
    import("./storage/embedded/embedded-storage.ts"),
    import("./broker/broker.ts"),
    import("./local-connection.ts"),
  ]);
  const storage = await EmbeddedStorage.open({
    ...(folder !== undefined && { folder }),
    ...(durability !== undefined && { durability }),
    onTrouble: (error) => process.emitWarning(`The store ${place}: ${error.message}`, "DibsWarning"),
  });
  const broker = await Broker.open(storage, payloadBytesMax === undefined ? {} : { payloadBytesMax });
  return new LocalConnection(broker, place);
}

function checkEmbedded({ durability, payloadBytesMax }: EmbeddedConnectOptions): void {
  if (durability !== undefined && !["process", "power", "none"].includes(durability)) {
    throw new InvalidRequestError(
      `Expected durability to be process, power or none, got ${String(durability)}`,
    );
  }
  checkWhole("payloadBytesMax", payloadBytesMax, 1, LIMITS.bodyBytesMax);
}
