import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

/** Passes bytes on between a client and a server, those of one direction later. */
export class SlowProxy {
  readonly port: number;
  /** Milliseconds that bytes wait on their way to the server, and back. */
  thereMs = 0;
  backMs = 0;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server, to: number) {
    this.#server = server;
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (near) => {
      const far = connect({ host: "127.0.0.1", port: to, noDelay: true });
      near.setNoDelay(true);
      this.#pass(near, far, () => this.thereMs);
      this.#pass(far, near, () => this.backMs);
    });
  }

  static async open(to: number): Promise<SlowProxy> {
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new SlowProxy(server, to);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, "close");
  }

  #pass(from: Socket, to: Socket, lateMs: () => number): void {
    this.#sockets.add(from);
    from.on("error", () => to.destroy());
    from.on("close", () => {
      this.#sockets.delete(from);
      to.destroy();
    });
    from.on("data", (bytes) => {
      const ms = lateMs();
      if (ms === 0) to.write(bytes);
      else setTimeout(() => to.write(bytes), ms);
    });
  }
}
