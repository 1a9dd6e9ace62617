import type { Connection } from "../../storage/redis/link/connection.ts";
import { type Finding, graded, judged } from "./finding.ts";
import type { RedisServers } from "./redis-servers.ts";

/** What every connection of Dibs calls itself. */
const NAME = "dibs";
/** The watchdog of each process asks a connection that was quiet for 15 s; it looks each 2.5 s, and gives 3 s to answer. */
const QUIET_S = { yellow: 21, red: 60 } as const;

/**
 * The connections of all processes as the server sees them. The watchdog of a process that lives lets none be quiet for
 * long: one that is was left by a process that stands still, or by a network that forgot it.
 */
export async function clientFindings(servers: RedisServers, master: Connection): Promise<Finding[]> {
  const { where } = master;
  const reply = await servers.askIfAllowed(master, "CLIENT", "LIST");
  if (reply === undefined) return []; // A dangerous command to Redis: many may not, and then nothing is known.
  const own = String(await servers.ask(master, "CLIENT", "ID"));
  const clients = clientsIn(String(reply)).filter(
    (client) => client.get("name") === NAME && client.get("id") !== own,
  );
  const quietest = clients.reduce((most, client) => Math.max(most, Number(client.get("idle") ?? 0)), 0);
  const unread = clients.filter((client) => Number(client.get("omem") ?? 0) > 1024 * 1024);
  return [
    graded({
      check: "watchdog",
      where,
      value: quietest,
      unit: "s",
      ...QUIET_S,
      figure:
        clients.length === 0
          ? "no process of Dibs is connected"
          : `${clients.length} connections of Dibs, the quietest heard ${quietest} s ago`,
      advice:
        "A process stands still, or a connection is half open: see CLIENT LIST for its address, and what runs there",
    }),
    judged(unread.length > 0 ? "yellow" : "green", {
      check: "answers not read",
      where,
      figure:
        unread.length === 0
          ? "none"
          : `${unread.length} connections, such as ${unread[0]?.get("addr") ?? "?"}`,
      bound: "up to 1 MB a connection",
      advice: "That process is too busy to read its answers: see its CPU and its event-loop delay",
    }),
  ];
}

function clientsIn(list: string): Map<string, string>[] {
  return list
    .split("\n")
    .filter((line) => line.trim() !== "")
    .map(
      (line) =>
        new Map(
          line
            .trim()
            .split(" ")
            .map((part) => [part.slice(0, part.indexOf("=")), part.slice(part.indexOf("=") + 1)]),
        ),
    );
}
