import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import * as net from "node:net";

/** A published message as RESP3 pushes it; its texts hold no line breaks. */
const MESSAGE = />3\r\n\$7\r\nmessage\r\n\$\d+\r\n[^\r]*\r\n\$\d+\r\n[^\r]*\r\n/g;
/** The beginning of one that has not come whole. */
const BEGUN = />3\r\n\$7\r\nmess(?:.|\r|\n)*$/;

/** Stands between clients and a Redis, and lets everything pass but what is published. */
export class DeafProxy {
  readonly url: string;
  readonly #server: net.Server;
  readonly #sockets = new Set<Socket>();
  readonly #port: number;
  /** Messages that were swallowed. */
  swallowed = 0;

  private constructor(server: net.Server, port: number) {
    this.#server = server;
    this.#port = port;
    this.url = `redis://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("connection", (client) => this.#join(client));
  }

  /** In front of the Redis at this port of the loopback interface. */
  static async open(port: number): Promise<DeafProxy> {
    const server = net.createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new DeafProxy(server, port);
  }

  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #join(client: Socket): void {
    const server = net.connect(this.#port, "127.0.0.1").setNoDelay(true);
    client.setNoDelay(true);
    let begun = "";
    client.on("data", (bytes) => server.write(bytes));
    server.on("data", (bytes) => {
      const text = (begun + bytes.toString("latin1")).replace(MESSAGE, () => {
        this.swallowed += 1;
        return "";
      });
      begun = BEGUN.exec(text)?.[0] ?? "";
      client.write(text.slice(0, text.length - begun.length), "latin1");
    });
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.on("error", () => undefined); // The close that follows says all there is to say.
      socket.on("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
  }
}
