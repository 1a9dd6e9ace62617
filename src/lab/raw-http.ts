import { connect, type Socket } from "node:net";
import { connect as connectSecurely } from "node:tls";

/** An answer; `body` is text. */
export interface RawAnswer {
  readonly status: number;
  readonly body: string;
}

const HEAD_END = Buffer.from("\r\n\r\n");
const CONTENT_LENGTH = /\r\ncontent-length: *(\d+)/i;

/**
 * One keep-alive connection that asks one thing at a time, with as little work as HTTP/1.1 allows: what is
 * measured through it is the server. It understands answers with a content length, and those without a
 * body; anything else, and a connection that ends in the middle, rejects the request and closes.
 */
export class RawHttpConnection {
  readonly #socket: Socket;
  #waiting: { resolve: (answer: RawAnswer) => void; reject: (error: Error) => void } | undefined;
  #received: Buffer | undefined;
  #closed: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk) => this.#read(chunk));
    socket.on("error", (error) => this.#fail(error));
    socket.on("close", () => this.#fail(new Error("The server closed the connection")));
  }

  /** Connects to an `http://host:port` or `https://…` address. */
  static open(url: string): Promise<RawHttpConnection> {
    const { hostname, port, protocol } = new URL(url);
    const host = hostname.replace(/^\[|\]$/g, "");
    const isSecure = protocol === "https:";
    const address = { host, port: Number(port) || (isSecure ? 443 : 80), noDelay: true };
    return new Promise((resolve, reject) => {
      const socket = isSecure ? connectSecurely({ ...address, servername: host }) : connect(address);
      socket.once("error", reject);
      socket.once(isSecure ? "secureConnect" : "connect", () => {
        socket.off("error", reject);
        resolve(new RawHttpConnection(socket));
      });
    });
  }

  /** Whether it can take no more requests. */
  get isClosed(): boolean {
    return this.#closed !== undefined;
  }

  /** Sends a request made by {@link rawPost}. @throws {Error} when one is still on its way. */
  ask(request: Buffer): Promise<RawAnswer> {
    if (this.#closed !== undefined) return Promise.reject(this.#closed);
    if (this.#waiting !== undefined) return Promise.reject(new Error("A request is still on its way"));
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#socket.write(request);
    });
  }

  /** Closes it at once; a request on its way rejects with `reason`. */
  close(reason?: Error): void {
    if (reason !== undefined) this.#fail(reason);
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    const received = this.#received === undefined ? chunk : Buffer.concat([this.#received, chunk]);
    const headEnd = received.indexOf(HEAD_END);
    if (headEnd < 0) {
      this.#received = received;
      return;
    }
    const head = received.toString("latin1", 0, headEnd);
    const status = Number(head.slice(9, 12));
    const length = bodyLength(head, status);
    if (length === undefined) {
      this.#socket.destroy(new Error(`Expected an answer with a content length, got: ${head}`));
      return;
    }
    const bodyStart = headEnd + HEAD_END.length;
    if (received.length < bodyStart + length) {
      this.#received = received;
      return;
    }
    this.#received = undefined;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve({ status, body: received.toString("utf8", bodyStart, bodyStart + length) });
  }

  #fail(error: Error): void {
    this.#closed ??= error;
    this.#waiting?.reject(this.#closed);
    this.#waiting = undefined;
  }
}

/** Undefined when the answer's length cannot be known from its head. */
function bodyLength(head: string, status: number): number | undefined {
  if (status === 204 || status === 304) return 0;
  const found = CONTENT_LENGTH.exec(head);
  return found === null ? undefined : Number(found[1]);
}

/** The bytes of a POST with a JSON body, to be made once and sent often. */
export function rawPost(url: string, path: string, body: string, token?: string): Buffer {
  const head = [
    `POST ${path} HTTP/1.1`,
    `host: ${new URL(url).host}`,
    "content-type: application/json",
    `content-length: ${Buffer.byteLength(body)}`,
    ...(token === undefined ? [] : [`authorization: Bearer ${token}`]),
  ];
  return Buffer.from(`${head.join("\r\n")}\r\n\r\n${body}`);
}
