import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { CommandFailed } from "./exit.ts";

/** What can be done about an address that cannot be had. */
export function explainedAddress(error: unknown, host: string, port: number): unknown {
  const why = {
    EADDRINUSE: `Port ${port} on ${host} is in use. Stop what listens there, or choose another port with --port or DIBS_PORT; --port 0 takes any free one.`,
    EACCES: `Port ${port} on ${host} is not allowed to this user. Choose a port of 1024 or more with --port or DIBS_PORT.`,
    EADDRNOTAVAIL: `${host} is no address of this machine. Choose another with --host or DIBS_HOST.`,
    ENOTFOUND: `${host} is no known host name. Choose another with --host or DIBS_HOST.`,
  }[(error as NodeJS.ErrnoException).code ?? ""];
  return why === undefined ? error : new CommandFailed(why, { cause: error });
}

/**
 * Looks whether an address can be had, and answers its port: the same, or a free one for 0.
 * @throws {CommandFailed} when it cannot, saying what to do.
 */
export async function portFor(host: string, port: number): Promise<number> {
  const server = createServer();
  try {
    server.listen({ host: host === "localhost" ? "127.0.0.1" : host, port });
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  } catch (error) {
    throw explainedAddress(error, host, port);
  } finally {
    await new Promise((resolve) => server.close(resolve));
  }
}
