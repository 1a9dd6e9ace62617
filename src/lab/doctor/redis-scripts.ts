import type { Connection } from "../../storage/redis/link/connection.ts";
import { SCRIPTS } from "../../storage/redis/scripts.ts";
import { type Finding, judged } from "./finding.ts";
import type { RedisServers } from "./redis-servers.ts";

/** Which scripts of this version the server knows already; asked before this command may load any itself. */
export async function scriptFinding(
  servers: RedisServers,
  master: Connection,
  isInUse: boolean,
): Promise<Finding> {
  const shas = Object.values(SCRIPTS).map(({ sha }) => sha);
  const reply = await servers.askIfAllowed(master, "SCRIPT", "EXISTS", ...shas);
  const known = Array.isArray(reply) ? reply.filter((exists) => exists === 1).length : 0;
  const isMissing = isInUse && known < shas.length;
  return judged(isMissing ? "yellow" : "green", {
    check: "script cache",
    where: master.where,
    figure: `${known} of the ${shas.length} scripts of this version`,
    bound: isInUse ? "all" : "any number: no store is there yet",
    advice:
      "No process of this version has run since Redis started, or someone sends SCRIPT FLUSH; the next call of each kind loads its script and takes two round trips",
  });
}
