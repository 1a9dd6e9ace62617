import type { Server } from "node:http";
import type { Socket } from "node:net";

/**
 * The connections of a server, for its end. Node closes those that idle between two requests, but counts one
 * that has not sent its first as busy: a pool that connected ahead would hold up the end.
 */
export class Connections {
  readonly #server: Server;
  readonly #unused = new Set<Socket>();

  constructor(server: Server) {
    this.#server = server;
    server.on("connection", (socket) => {
      this.#unused.add(socket);
      socket.once("close", () => this.#unused.delete(socket));
    });
    server.on("request", ({ socket }) => this.#unused.delete(socket));
  }

  /** Closes those that ask for nothing now; the others when they are answered, at the latest after `ms`. */
  closeWithin(ms: number): void {
    for (const socket of this.#unused) socket.destroy();
    this.#server.closeIdleConnections();
    setTimeout(() => this.#server.closeAllConnections(), ms).unref();
  }
}
