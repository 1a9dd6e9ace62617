import * as http from "node:http";
import * as https from "node:https";
import { ConnectionLostError } from "../../task/errors.ts";

export interface ProbeAnswer {
  readonly status: number;
  readonly text: string;
  /** The server's clock, whole seconds of epoch milliseconds; absent where it does not tell. */
  readonly date?: number;
}

const ANSWER_MS = 10_000;

/** One connection to a server, one question at a time: what is measured through it is the way and the server. */
export class HttpProbe {
  readonly #base: URL;
  readonly #agent: http.Agent;
  readonly #request: typeof http.request;
  readonly #headers: http.OutgoingHttpHeaders;

  constructor(base: URL, token: string | undefined) {
    this.#base = base;
    const isSecure = base.protocol === "https:";
    this.#request = isSecure ? https.request : http.request;
    this.#agent = new (isSecure ? https : http).Agent({ keepAlive: true, maxSockets: 1 });
    this.#headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  }

  /** @throws {ConnectionLostError} when there is no answer. Whatever the status of an answer is, it is one. */
  ask(method: "GET" | "POST", path: string, body?: string): Promise<ProbeAnswer> {
    return new Promise((resolve, reject) => {
      const lost = (error: NodeJS.ErrnoException) => {
        const why =
          error.code === "ECONNREFUSED"
            ? "connection refused; is the server running?"
            : error.message || error.code;
        reject(new ConnectionLostError(`No connection to ${this.#base.origin}: ${why}`, { cause: error }));
      };
      const request = this.#request(
        {
          hostname: this.#base.hostname.replace(/^\[|\]$/g, ""),
          port: this.#base.port,
          path: this.#base.pathname.replace(/\/+$/, "") + path,
          method,
          agent: this.#agent,
          headers: {
            ...this.#headers,
            ...(body !== undefined && {
              "content-type": "application/json",
              "content-length": Buffer.byteLength(body),
            }),
          },
          timeout: ANSWER_MS,
        },
        (response) => read(response).then(resolve, lost),
      );
      request.on("timeout", () => request.destroy(new Error(`no answer within ${ANSWER_MS / 1_000} s`)));
      request.on("error", lost);
      request.end(body);
    });
  }

  close(): void {
    this.#agent.destroy();
  }
}

async function read(response: http.IncomingMessage): Promise<ProbeAnswer> {
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer);
  const date = Date.parse(response.headers.date ?? "");
  return {
    status: response.statusCode ?? 0,
    text: Buffer.concat(chunks).toString(),
    ...(!Number.isNaN(date) && { date }),
  };
}
