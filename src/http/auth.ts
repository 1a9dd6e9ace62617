import { createHash, timingSafeEqual } from "node:crypto";
import { InvalidRequestError, UnauthorizedError } from "../task/errors.ts";
import { withHeaders } from "./errors.ts";

/** The scheme's name in any case (RFC 9110, section 11.1), then the token. */
const BEARER = /^bearer +([^ ]+) *$/i;
const BASIC = /^basic +([^ ]+) *$/i;

/**
 * Static tokens: whoever shows one may do everything.
 *
 * A browser cannot send a bearer token when it opens a page, so the page at `/docs` also takes the token as
 * the password that the browser asks for. The API does not: a browser sends a password by itself, also when
 * another site makes it ask.
 */
export class Tokens {
  readonly #digests: readonly Buffer[];

  /** @throws {InvalidRequestError} for a token that no header can carry. */
  constructor(tokens: readonly string[]) {
    for (const token of tokens) {
      if (!/^[\x21-\x7e]+$/.test(token)) {
        throw new InvalidRequestError(
          "Expected each of `tokens` to be visible ASCII without spaces, got another",
        );
      }
    }
    this.#digests = tokens.map(digest);
  }

  /** Whether requests need a token at all. */
  get required(): boolean {
    return this.#digests.length > 0;
  }

  /** The error of a request that may not pass; undefined when it may. */
  refusal(authorization: string | undefined, isPage: boolean): UnauthorizedError | undefined {
    if (!this.required) return undefined;
    const token = isPage ? (bearerOf(authorization) ?? passwordOf(authorization)) : bearerOf(authorization);
    if (token !== undefined && this.#knows(token)) return undefined;
    const message =
      token === undefined
        ? "Expected the header `Authorization: Bearer <token>`"
        : "Expected the token in `Authorization` to be one of this server's, got another";
    const challenge = isPage ? 'Basic realm="dibs", Bearer realm="dibs"' : 'Bearer realm="dibs"';
    return withHeaders(new UnauthorizedError(message), { "www-authenticate": challenge });
  }

  // Constant time: digests have one length, and all are compared whichever matches.
  #knows(token: string): boolean {
    const shown = digest(token);
    let known = false;
    for (const expected of this.#digests) known = timingSafeEqual(shown, expected) || known;
    return known;
  }
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

function bearerOf(authorization = ""): string | undefined {
  return BEARER.exec(authorization)?.[1];
}

function passwordOf(authorization = ""): string | undefined {
  const encoded = BASIC.exec(authorization)?.[1];
  if (encoded === undefined) return undefined;
  const [, ...password] = Buffer.from(encoded, "base64").toString().split(":");
  return password.join(":");
}
