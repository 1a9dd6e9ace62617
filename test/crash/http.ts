import { Agent, request } from "node:http";

/** The least that is between a test and the server's socket, so that it is known what was answered. */
export interface Reply {
  readonly status: number;
  readonly body: unknown;
}

/** Sent, and never answered: whether it took effect is unknown. */
export class Unanswered extends Error {}

/** Never sent, because nobody listened. */
export class NotSent extends Error {}

export class Http {
  readonly #base: URL;
  readonly #agent = new Agent({ keepAlive: true });
  /** Requests on their way, without those that wait on purpose. */
  underWay = 0;

  constructor(url: string) {
    this.#base = new URL(url);
  }

  async post(path: string, body: unknown): Promise<Reply> {
    const waits = (body as { waitMs?: number }).waitMs !== undefined;
    if (!waits) this.underWay += 1;
    try {
      return await this.#send("POST", path, JSON.stringify(body));
    } finally {
      if (!waits) this.underWay -= 1;
    }
  }

  get(path: string): Promise<Reply> {
    return this.#send("GET", path);
  }

  patch(path: string, body: unknown): Promise<Reply> {
    return this.#send("PATCH", path, JSON.stringify(body));
  }

  delete(path: string): Promise<Reply> {
    return this.#send("DELETE", path);
  }

  close(): void {
    this.#agent.destroy();
  }

  #send(method: string, path: string, text?: string): Promise<Reply> {
    return new Promise((resolve, reject) => {
      const sent = request(new URL(path, this.#base), { method, agent: this.#agent }, (response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("error", (error) => reject(new Unanswered(error.message)));
        response.on("close", () => reject(new Unanswered("cut in the middle of the answer")));
        response.on("end", () => {
          const answer = Buffer.concat(chunks).toString();
          resolve({
            status: response.statusCode as number,
            body: answer === "" ? undefined : JSON.parse(answer),
          });
        });
      });
      sent.on("error", (error: NodeJS.ErrnoException) => {
        const refused = error.code === "ECONNREFUSED";
        reject(refused ? new NotSent(error.message) : new Unanswered(error.message));
      });
      sent.end(text);
    });
  }
}
