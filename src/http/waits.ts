import type { Socket } from "node:net";
import { onVanish } from "./vanishing.ts";

/** One request that waits for something to happen. */
export interface Wait {
  /** Aborted when waiting has become pointless: the client went away, or the server drains. */
  readonly signal: AbortSignal;
  end(): void;
}

/** All requests that wait now. */
export class Waits {
  readonly #pending = new Set<AbortController>();
  #isOver = false;

  begin(socket: Socket): Wait {
    const controller = new AbortController();
    if (this.#isOver) controller.abort();
    this.#pending.add(controller);
    const forget = onVanish(socket, () => controller.abort());
    const end = (): void => {
      forget();
      this.#pending.delete(controller);
    };
    return { signal: controller.signal, end };
  }

  /** Ends those that wait now, and all that begin later. */
  endAll(): void {
    this.#isOver = true;
    for (const controller of this.#pending) controller.abort();
  }
}
