import { BlockList, isIP } from "node:net";
import { InvalidRequestError } from "../task/errors.ts";

const LOOPBACK = new BlockList();
LOOPBACK.addSubnet("127.0.0.0", 8, "ipv4");
LOOPBACK.addAddress("::1", "ipv6");

/** True for the addresses, and the one name, that only this machine can reach. */
export function isLoopback(host: string): boolean {
  if (host === "localhost") return true;
  const family = isIP(host);
  return family !== 0 && LOOPBACK.check(host, family === 4 ? "ipv4" : "ipv6");
}

/** @throws {InvalidRequestError} for a host that others can reach. */
export function assertLoopback(host: string): void {
  if (isLoopback(host)) return;
  throw new InvalidRequestError(
    `Expected \`host\` to be a loopback address while no tokens are set, got ${JSON.stringify(host)}: ` +
      "set DIBS_TOKENS, or say --insecure to let everyone in who can reach this machine",
    { details: { field: "host", bound: "loopback", value: host } },
  );
}
