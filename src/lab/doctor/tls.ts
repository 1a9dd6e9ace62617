import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import * as tls from "node:tls";
import { isLoopback } from "../../http/loopback.ts";
import type { TlsOptions } from "../../storage/redis/link/connection.ts";
import type { Address } from "../../storage/redis/link/redis-url.ts";
import { shownAddress } from "../../storage/redis/link/redis-url.ts";
import { type Finding, judged } from "./finding.ts";

const CONNECT_MS = 4_000;
const DAY_MS = 24 * 60 * 60 * 1_000;
const EXPIRES_DAYS = { yellow: 21, red: 3 } as const;

/** How what is sent to a server is protected, and for how long its certificate still holds. */
export async function tlsFinding(
  address: Address,
  isTls: boolean,
  options: TlsOptions = {},
): Promise<Finding> {
  const where = shownAddress(address);
  if (!isTls) return plainFinding(where, address.host);
  try {
    const { protocol, expiresAt } = await inspect(address, options);
    return certificateFinding(where, protocol, expiresAt);
  } catch (error) {
    return judged("red", {
      check: "TLS",
      where,
      figure: "failed",
      bound: "a certificate that is trusted",
      advice: (error as Error).message,
    });
  }
}

function plainFinding(where: string, host: string): Finding {
  const isLocal = isLoopback(host);
  return judged(isLocal ? "green" : "yellow", {
    check: "TLS",
    where,
    figure: isLocal ? "none, on this machine" : "none",
    bound: "TLS beyond this machine",
    advice:
      "Passwords and payloads can be read, and changed, on the way: use rediss:// or https://, or a network that encrypts by itself (a VPN, a service mesh)",
  });
}

function certificateFinding(where: string, protocol: string, expiresAt: number): Finding {
  const days = Math.floor((expiresAt - Date.now()) / DAY_MS);
  const colour = days < EXPIRES_DAYS.red ? "red" : days < EXPIRES_DAYS.yellow ? "yellow" : "green";
  return judged(colour, {
    check: "TLS",
    where,
    figure: `${protocol}, certificate until ${new Date(expiresAt).toISOString().slice(0, 10)} (${days} days)`,
    bound: `${EXPIRES_DAYS.yellow} days or more, red below ${EXPIRES_DAYS.red}`,
    advice: "No new connection is made after that day: renew the certificate",
    value: days,
    unit: "days",
  });
}

function inspect(
  { host, port }: Address,
  { ca, cert, key, rejectUnauthorized = true }: TlsOptions,
): Promise<{ protocol: string; expiresAt: number }> {
  return new Promise((resolve, reject) => {
    const socket = tls.connect({
      host,
      port,
      rejectUnauthorized,
      ...(isIP(host) === 0 && { servername: host }),
      ...(ca !== undefined && { ca: pem(ca) }),
      ...(cert !== undefined && { cert: pem(cert) }),
      ...(key !== undefined && { key: pem(key) }),
    });
    socket.setTimeout(CONNECT_MS, () => socket.destroy(new Error("It does not answer")));
    socket.once("error", reject);
    socket.once("secureConnect", () => {
      const expiresAt = Date.parse(socket.getPeerCertificate().valid_to);
      resolve({ protocol: socket.getProtocol() ?? "TLS", expiresAt });
      socket.destroy();
    });
  });
}

function pem(pathOrText: string): string {
  return pathOrText.includes("-----BEGIN ") ? pathOrText : readFileSync(pathOrText, "utf8");
}
