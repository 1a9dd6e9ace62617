import { randomBytes } from "node:crypto";
import type { IncomingMessage } from "node:http";

/** What may come back in a header and stand in a log line: visible ASCII without quotes, at most 128. */
const ACCEPTABLE = /^[\w.:/+=@~-]{1,128}$/;

/**
 * Makes the function that names requests: with the `X-Request-Id` they bring, when it is fit to be repeated,
 * else with a new id that no other server of this kind makes.
 */
export function requestIds(): (request: IncomingMessage) => string {
  const prefix = randomBytes(6).toString("base64url");
  let count = 0;
  return ({ headers }) => {
    const given = headers["x-request-id"];
    if (typeof given === "string" && ACCEPTABLE.test(given)) return given;
    count += 1;
    return `${prefix}-${count.toString(36)}`;
  };
}
