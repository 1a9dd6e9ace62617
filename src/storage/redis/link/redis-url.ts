import { InvalidRequestError } from "../../../task/errors.ts";

export interface Address {
  readonly host: string;
  readonly port: number;
}

/** Where Redis is and who we are there, read from a URL. */
export interface RedisPlace {
  readonly kind: "standalone" | "cluster" | "sentinel";
  /** The server; or nodes of the cluster, or sentinels, any of which will do to begin with. */
  readonly addresses: readonly [Address, ...Address[]];
  /** The name under which the sentinels know the master. */
  readonly masterName?: string;
  readonly isTls: boolean;
  readonly username?: string;
  readonly password?: string;
  readonly db: number;
  /** The URL as it may be shown: without the password. */
  readonly shown: string;
}

const KINDS = { "": "standalone", cluster: "cluster", sentinel: "sentinel" } as const;
const SCHEME = /^(redis|rediss|valkey|valkeys)([+-](cluster|sentinel))?:/i;
const FORM =
  /^(?<scheme>redis|rediss|valkey|valkeys)(?:[+-](?<kind>cluster|sentinel))?:\/\/(?:(?<login>[^/?#]*)@)?(?<places>[^/?#@]*)(?<path>\/[^?#@]*)?(?<rest>[?#].*)?$/i;

const EXAMPLES =
  "redis://host:6379/0, rediss://user:password@host, redis+cluster://host1:7000,host2:7000 or redis+sentinel://host1,host2/mymaster";

/** Whether a text means a Redis, right or wrong as the rest of it may be. */
export function isRedisUrl(text: string): boolean {
  return SCHEME.test(text);
}

/**
 * Reads redis://, rediss:// (TLS), redis+cluster://, redis+sentinel:// and their valkey names; `-` for `+` is heard too.
 * User and password are percent-decoded. The default port is 6379, for a sentinel 26379.
 * @throws InvalidRequestError that says what is wrong and never shows the password.
 */
export function parseRedisUrl(url: string): RedisPlace {
  const parts = FORM.exec(url)?.groups;
  if (parts === undefined) throw new InvalidRequestError(`${startOf(url)}. Expected one like ${EXAMPLES}`);
  const word = (parts["kind"] ?? "").toLowerCase() as keyof typeof KINDS;
  const kind = KINDS[word];
  const scheme = `${parts["scheme"]}${word === "" ? "" : `+${word}`}://`.toLowerCase();
  if (parts["rest"] !== undefined) throw wrong(scheme, "has options after ? or #, and there are none");
  const addresses = addressesOf(scheme, parts["places"] as string, kind === "sentinel" ? 26_379 : 6_379);
  if (kind === "standalone" && addresses.length > 1)
    throw wrong(scheme, "names several servers: say redis+cluster:// or redis+sentinel:// for that");
  const { masterName, db } = pathOf(scheme, kind, parts["path"] ?? "");
  const login = loginOf(scheme, parts["login"]);
  const user = login.username === undefined ? "" : `${encodeURIComponent(login.username)}@`;
  const path = `${masterName === undefined ? "" : `/${masterName}`}${db === 0 ? "" : `/${db}`}`;
  return {
    kind,
    addresses,
    ...(masterName !== undefined && { masterName }),
    isTls: /^(rediss|valkeys)/.test(scheme),
    ...login,
    db,
    shown: `${scheme}${user}${addresses.map(shownAddress).join(",")}${path}`,
  };
}

export function shownAddress({ host, port }: Address): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** "host:port", "[v6]:port" or a host alone. Undefined when it is neither. */
export function parseAddress(text: string, defaultPort: number): Address | undefined {
  const parts = /^(?:\[(?<v6>[0-9a-f:.%a-z]+)\]|(?<host>[^:[\]\s]+))(?::(?<port>\d{1,5}))?$/i.exec(
    text,
  )?.groups;
  const host = parts?.["v6"] ?? parts?.["host"];
  const port = parts?.["port"] === undefined ? defaultPort : Number(parts["port"]);
  return host === undefined || port < 1 || port > 65_535 ? undefined : { host, port };
}

function addressesOf(scheme: string, text: string, defaultPort: number): [Address, ...Address[]] {
  const addresses = text.split(",").map((part) => {
    if (part === "") throw wrong(scheme, "names no host");
    const address = parseAddress(part, defaultPort);
    // What follows the colon may be a password whose "@host" was forgotten: it is not shown.
    if (address === undefined)
      throw wrong(scheme, `has no port from 1 to 65535 after ${part.split(":")[0]}:`);
    return address;
  });
  return addresses as [Address, ...Address[]];
}

function pathOf(scheme: string, kind: RedisPlace["kind"], path: string): { masterName?: string; db: number } {
  const steps = path.split("/").slice(1);
  if (steps.at(-1) === "") steps.pop();
  if (kind === "sentinel") {
    const name = steps.shift();
    if (name === undefined)
      throw wrong(scheme, "lacks the name of the master after the sentinels, such as /mymaster");
    return { masterName: decoded(scheme, name, "the name of the master"), db: dbOf(scheme, steps) };
  }
  const db = dbOf(scheme, steps);
  if (kind === "cluster" && db !== 0)
    throw wrong(scheme, `asks for database ${db}, and a cluster has only database 0: leave it out`);
  return { db };
}

function dbOf(scheme: string, steps: readonly string[]): number {
  const [text = "0", ...more] = steps;
  if (!/^\d{1,5}$/.test(text) || more.length > 0)
    throw wrong(scheme, `has ${JSON.stringify(steps.join("/"))} where a database number such as 0 belongs`);
  return Number(text);
}

function loginOf(scheme: string, text: string | undefined): { username?: string; password?: string } {
  if (text === undefined) return {};
  const colon = text.indexOf(":");
  const username = decoded(scheme, colon < 0 ? text : text.slice(0, colon), "the user");
  if (colon < 0) throw wrong(scheme, `has a user but no password: write ${scheme}user:password@host`);
  const password = decoded(scheme, text.slice(colon + 1), "the password");
  return { ...(username !== "" && { username }), password };
}

function decoded(scheme: string, text: string, what: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw wrong(scheme, `has a "%" in ${what} that starts no escape: write it as %25`);
  }
}

function startOf(url: string): string {
  const scheme = /^[a-z][a-z0-9+.-]{0,30}:\/\//i.exec(url)?.[0];
  if (scheme === undefined) return "A Redis URL starts with redis://";
  if (/^(redis|rediss|valkey|valkeys)([+-](cluster|sentinel))?:\/\/$/i.test(scheme))
    return `The ${scheme} URL cannot be read: "/", "?", "#" and "@" in a user or password are written as %2F, %3F, %23 and %40`;
  return `${scheme} is no URL of Redis`;
}

function wrong(scheme: string, what: string): InvalidRequestError {
  return new InvalidRequestError(`The ${scheme} URL ${what}`);
}
