import type { IncomingHttpHeaders } from "node:http";
import { isIP } from "node:net";
import { ForbiddenError } from "../task/errors.ts";

/**
 * Keeps the pages of other sites out of a server that asks for no token. Loopback is no wall against them:
 * any page that its user visits can send requests to 127.0.0.1, and a name that its owner points to
 * 127.0.0.1 makes such a page "the same site". With tokens neither works, so nothing of this is asked then.
 */
export function crossSiteRefusal(headers: IncomingHttpHeaders): ForbiddenError | undefined {
  const { host, origin } = headers;
  if (host !== undefined && !isLocalName(nameOf(host))) {
    return refusal("Host", host, "an address, or a name that only this network gives");
  }
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) {
    return refusal("Origin", origin, "this server's own");
  }
  return undefined;
}

/** Names that nobody outside can register: RFC 6761, RFC 6762 and ICANN's `.internal`. */
const LOCAL_SUFFIX = /\.(localhost|local|internal|test|home\.arpa)$/;

function isLocalName(name: string): boolean {
  return isIP(name) !== 0 || !name.includes(".") || LOCAL_SUFFIX.test(name);
}

function nameOf(host: string): string {
  const bracketed = /^\[([^\]]*)\](:\d*)?$/.exec(host);
  return (bracketed?.[1] ?? host.replace(/:\d*$/, "")).toLowerCase().replace(/\.$/, "");
}

function refusal(header: string, got: string, expected: string): ForbiddenError {
  const shown = got.slice(0, 100);
  return new ForbiddenError(
    `Expected \`${header}\` to be ${expected} while this server has no tokens, got ${JSON.stringify(shown)}; ` +
      "set DIBS_TOKENS, or --insecure to let every site in",
    { details: { header, value: shown } },
  );
}
