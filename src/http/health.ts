import type { Broker } from "../broker/broker.ts";
import { ShuttingDownError, StorageUnavailableError } from "../task/errors.ts";
import { objectAnswer } from "./answer.ts";
import type { Answerings } from "./router.ts";

/** The routes of whoever watches the server: an orchestrator, Prometheus. */
export function healthRoutes(
  broker: Broker,
  isDraining: () => boolean,
): Answerings<"healthz" | "readyz" | "metrics"> {
  return {
    // Alive as long as waiting can help: an engine that stopped for good needs a restart, a full disk does not.
    healthz() {
      const { isFinal, reason } = broker.readiness();
      if (isFinal === true) throw new StorageUnavailableError(reason ?? "The storage engine stopped");
      return objectAnswer({ status: "ok" });
    },

    readyz() {
      if (isDraining()) throw new ShuttingDownError("The server drains");
      const { ready, reason } = broker.readiness();
      if (!ready) throw new StorageUnavailableError(reason ?? "The storage engine is not ready");
      return objectAnswer({ status: "ok" });
    },

    async metrics() {
      return { status: 200, text: await broker.metrics.render(), contentType: broker.metrics.contentType };
    },
  };
}
