import { StorageUnavailableError } from "../../../task/errors.ts";
import type { Login } from "./connection.ts";
import { type Address, shownAddress } from "./redis-url.ts";
import { ReplyError } from "./reply-parser.ts";

export interface Attempt {
  /** Whether the time for it was over. */
  readonly expired: boolean;
  /** Whether TCP, and TLS where asked for, stood. */
  readonly wasConnected: boolean;
}

/** Says why a connection could not be opened, and what to do. */
export function whyNoConnection(
  error: unknown,
  address: Address,
  login: Login,
  attempt: Attempt,
): StorageUnavailableError {
  const why = error instanceof ReplyError ? whyRefused(error, login) : whyUnreached(error, login, attempt);
  return new StorageUnavailableError(`Cannot use Redis at ${shownAddress(address)}: ${why}`, {
    cause: error,
    details: { applied: "no" },
  });
}

function whyRefused({ code, message }: ReplyError, { username, password, db }: Login): string {
  const user = `the user ${JSON.stringify(username ?? "default")}`;
  if (code === "WRONGPASS")
    return password === undefined
      ? "it wants a password: write redis://user:password@host in the URL"
      : `it does not accept ${user} with this password, or that user is disabled or does not exist`;
  if (code === "NOAUTH")
    return "it wants a password, and the URL has none: write redis://:password@host or redis://user:password@host";
  if (code === "NOPERM") return `${user} may not say hello: allow it +@connection (${message})`;
  if (/unknown command/i.test(message))
    return `it does not know HELLO, so it is older than Redis 6: Dibs needs Redis 7.0 or later`;
  if (/DB index/i.test(message)) return `it has no database ${db}: see "databases" in its configuration`;
  if (/max number of clients/i.test(message))
    return `it has as many clients as "maxclients" allows: raise that, or close some`;
  return `it answered ${JSON.stringify(message)}`;
}

const REFUSED = "nothing listens there: is Redis running, and are host and port right?";
const UNKNOWN_HOST = "no such host: is the name right?";

const BY_CODE: Readonly<Record<string, string>> = {
  ECONNREFUSED: REFUSED,
  ENOTFOUND: UNKNOWN_HOST,
  EAI_AGAIN: UNKNOWN_HOST,
  EHOSTUNREACH: "the host cannot be reached from here",
  ENETUNREACH: "its network cannot be reached from here",
  DEPTH_ZERO_SELF_SIGNED_CERT: "its certificate is self-signed: name it as the CA to trust",
  SELF_SIGNED_CERT_IN_CHAIN: "its certificate is signed by an unknown CA: name that CA as one to trust",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "its certificate is signed by an unknown CA: name that CA as one to trust",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    "its certificate is signed by an unknown CA: name that CA as one to trust",
  CERT_HAS_EXPIRED: "its certificate has expired",
};

function whyUnreached(error: unknown, { isTls }: Login, { expired, wasConnected }: Attempt): string {
  const { code = "", message } = error as NodeJS.ErrnoException;
  const known = BY_CODE[code];
  if (known !== undefined) return known;
  if (/ERR_TLS_CERT_ALTNAME_INVALID/.test(code)) return `its certificate is for another host (${message})`;
  if (isTls && !wasConnected && (expired || /SSL|EPROTO|ECONNRESET|closed/.test(`${code} ${message}`)))
    return `no TLS there (${message}): write redis:// for a port without TLS`;
  if (expired) return wasConnected ? "it takes connections and does not answer" : "it does not answer";
  if (wasConnected && !isTls && /closed|ECONNRESET/.test(message))
    return "it closed the connection at our first word: write rediss:// when the port wants TLS";
  return message;
}
