import { tlsOf } from "../config.ts";
import type { BenchPlace } from "../lab/bench/place.ts";
import type { Session, SessionFlags } from "./session.ts";

/** The settings speak of a store, so that they are checked against the place as those of `dibs serve` are. */
export function settingsOfPlace(place: string | undefined): Pick<SessionFlags, "store" | "url"> {
  if (isServer(place)) return { url: place };
  return { store: place ?? "." };
}

/** Whether the place is a server that runs already. */
export function isServer(place: string | undefined): place is string {
  return place !== undefined && /^https?:/i.test(place);
}

/** Opens the place that `dibs bench` and `dibs load` measure: what runs there, or what `serve` starts there. */
export async function openLabPlace(
  { config, output }: Session,
  place: string | undefined,
  { serve, timeoutMs }: { readonly serve: boolean; readonly timeoutMs: number },
): Promise<BenchPlace> {
  const { openPlace } = await import("../lab/bench/place.ts");
  const tls = tlsOf(config);
  return openPlace({
    ...(place !== undefined && { place }),
    serve,
    durability: config.durability,
    connections: config.redisConnections,
    ...(tls !== undefined && { tls }),
    ...(config.token !== undefined && { token: config.token }),
    timeoutMs,
    onWarning: (text) => output.warn(text),
  });
}

/** What was measured is told all the same when something of the clean-up fails. */
export async function closeQuietly({ output }: Session, place: BenchPlace): Promise<void> {
  try {
    await place.close();
  } catch (error) {
    output.warn(`Not everything could be removed: ${error instanceof Error ? error.message : String(error)}`);
  }
}
