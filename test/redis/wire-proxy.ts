import { once } from "node:events";
import type { AddressInfo, Socket } from "node:net";
import * as net from "node:net";

/**
 * What happens to bytes: they pass; both directions are swallowed while the sockets stay open, and stay so for this
 * connection, as on a half-open one; they are no longer taken, and pile up at whoever sends them; the client's bytes reach nobody and its connection is cut; or they reach the server, and the
 * connection is cut when it answers.
 */
export type WireFate = "pass" | "swallow" | "stall" | "cut-before" | "lose-answer";

interface Place {
  readonly host: string;
  readonly port: number;
}

/** Stands between a client and a server on TCP, does to them what networks do, and counts round trips. */
export class WireProxy {
  readonly host = "127.0.0.1";
  readonly port: number;
  readonly #server: net.Server;
  readonly #sockets = new Set<Socket>();
  #target: Place;
  fate: WireFate = "pass";
  /** How long a byte is on its way, in each direction. */
  delayMs = 0;
  /** Connections that were made so far. */
  connections = 0;
  /** How often a client spoke on a new connection or after the server had: its round trips after TCP's own. */
  turns = 0;

  private constructor(server: net.Server, target: Place) {
    this.#server = server;
    this.#target = target;
    this.port = (server.address() as AddressInfo).port;
    server.on("connection", (client) => this.#join(client));
  }

  static async open(target: Place): Promise<WireProxy> {
    const server = net.createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new WireProxy(server, target);
  }

  get url(): string {
    return `redis://${this.host}:${this.port}`;
  }

  /** Resets every connection, in the middle of whatever is on it; returns how many clients had one. */
  cutAll(): number {
    const sockets = [...this.#sockets];
    for (const socket of sockets) socket.resetAndDestroy();
    return sockets.length / 2;
  }

  /** New connections go to another server. */
  redirect(target: Place): void {
    this.#target = target;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.cutAll();
    await closed;
  }

  #join(client: Socket): void {
    const server = net.connect(this.#target).setNoDelay(true);
    client.setNoDelay(true);
    this.connections += 1;
    const line = { isDead: false };
    let isClientsTurn = true;
    this.#carry(line, client, server, () => {
      if (isClientsTurn) this.turns += 1;
      isClientsTurn = false;
      return this.fate === "cut-before";
    });
    this.#carry(line, server, client, () => {
      isClientsTurn = true;
      return this.fate === "lose-answer";
    });
  }

  /** `cuts` hears of each piece, and says whether the connection ends with it. */
  #carry(line: { isDead: boolean }, from: Socket, to: Socket, cuts: () => boolean): void {
    this.#sockets.add(from);
    from.on("data", (bytes) => {
      // TCP loses no piece in the middle: what lost one never comes back.
      line.isDead ||= this.fate === "swallow";
      if (line.isDead) return;
      if (this.fate === "stall") from.pause();
      if (cuts()) {
        from.resetAndDestroy();
        to.resetAndDestroy();
        return;
      }
      if (this.delayMs === 0) to.write(bytes);
      else setTimeout(() => to.writable && to.write(bytes), this.delayMs);
    });
    from.on("error", () => undefined); // The close that follows says all there is to say.
    from.on("close", () => {
      this.#sockets.delete(from);
      if (this.delayMs === 0) to.destroy();
      else setTimeout(() => to.destroy(), this.delayMs);
    });
  }
}
