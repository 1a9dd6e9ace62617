import { once } from "node:events";
import * as http from "node:http";
import type { AddressInfo, Socket } from "node:net";

/**
 * What happens to a request: it passes; it is never answered; it is cut before it reached the server; it reaches
 * the server and its answer is lost; or something in between answers instead.
 */
export type Fate =
  | "pass"
  | "hang"
  | "cut-before"
  | "lose-answer"
  | { readonly status: number; readonly body: string };

/** Stands between a client and a server and does to requests what networks do. */
export class FaultyProxy {
  readonly #server: http.Server;
  readonly #sockets = new Set<Socket>();
  readonly #target: { url: string };
  /** Decides each request; `count` is how many of that path came before. */
  fateOf: (path: string, count: number) => Fate = () => "pass";
  readonly #counts = new Map<string, number>();
  readonly url: string;

  private constructor(server: http.Server, target: { url: string }) {
    this.#server = server;
    this.#target = target;
    this.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on("connection", (socket) => {
      this.#sockets.add(socket);
      socket.on("close", () => this.#sockets.delete(socket));
    });
    server.on("request", (request, response) => this.#serve(request, response));
  }

  static async open(url: string): Promise<FaultyProxy> {
    const server = http.createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    return new FaultyProxy(server, { url });
  }

  /** Resets every connection, in the middle of whatever waits on it. */
  cutAll(): number {
    const count = this.#sockets.size;
    for (const socket of this.#sockets) socket.resetAndDestroy();
    return count;
  }

  /** How many requests of a path came so far. */
  countOf(path: string): number {
    return this.#counts.get(path) ?? 0;
  }

  /** From now on requests go to another server. */
  redirect(url: string): void {
    this.#target.url = url;
  }

  async close(): Promise<void> {
    const closed = once(this.#server, "close");
    this.#server.close();
    this.cutAll();
    await closed;
  }

  #serve(request: http.IncomingMessage, response: http.ServerResponse): void {
    const path = (request.url ?? "").split("?")[0] as string;
    const fate = this.fateOf(path, this.countOf(path));
    this.#counts.set(path, this.countOf(path) + 1);
    if (fate === "hang") request.resume();
    else if (fate === "cut-before") request.socket.resetAndDestroy();
    else if (typeof fate === "object") {
      request.resume();
      response.writeHead(fate.status, { "content-type": "application/json" }).end(fate.body);
    } else this.#forward(request, response, fate);
  }

  #forward(request: http.IncomingMessage, response: http.ServerResponse, fate: "pass" | "lose-answer"): void {
    const { method = "GET", headers } = request;
    const onward = http.request(`${this.#target.url}${request.url}`, { method, headers, agent: false });
    onward.on("response", (answer) => {
      if (fate === "lose-answer") {
        answer.resume().on("end", () => request.socket.resetAndDestroy());
        return;
      }
      response.writeHead(answer.statusCode as number, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => request.socket.resetAndDestroy());
    // A client that goes away takes its request with it, as it does without a proxy.
    response.on("close", () => onward.destroy());
    request.pipe(onward);
  }
}
