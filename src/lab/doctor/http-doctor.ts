import type { QueueMessage } from "../../protocol/messages.ts";
import { HttpConnection } from "../../sdk/http-connection.ts";
import { parseQueueName, type QueueName } from "../../task/ids.ts";
import { nowNs } from "../nano-clock.ts";
import { claimFindings, timeClaims } from "./claim-probe.ts";
import { type Diagnosis, diagnosisOf, type Look } from "./diagnosis.ts";
import { type Finding, graded, judged } from "./finding.ts";
import { HttpProbe, type ProbeAnswer } from "./http-probe.ts";
import { machineFindings, watched } from "./machine.ts";
import { LEASES_MAX, QUEUES_MAX, type QueueFacts, type QueuesFacts, queueFindings } from "./queue-health.ts";
import { unreachable } from "./redis-servers.ts";
import { measureRoundTrips, roundTripFindings } from "./round-trips.ts";
import { ServerMetrics, serverFindings } from "./server-metrics.ts";
import { SKEW_ADVICE, SKEW_S } from "./server-time.ts";
import { tlsFinding } from "./tls.ts";

export interface ServerTarget {
  readonly url: URL;
  readonly token?: string;
}

/** A queue that nobody has: its claims find nothing, and make nothing. */
const NOBODYS_QUEUE = "dibs-doctor-of-nobody";

/** Looks at a server over HTTP: it reads, and claims from a queue that is not there. Changes nothing. */
export async function examineServer(target: ServerTarget, look: Look): Promise<Diagnosis> {
  const at = Date.now();
  const place = target.url.origin + target.url.pathname.replace(/\/+$/, "");
  const probe = new HttpProbe(target.url, target.token);
  try {
    return await new ServerExamination(place, target, probe, look).run(at);
  } catch (error) {
    return diagnosisOf({ place, kind: "server", at }, [unreachable(place, error)]);
  } finally {
    probe.close();
  }
}

class ServerExamination {
  readonly #place: string;
  readonly #target: ServerTarget;
  readonly #probe: HttpProbe;
  readonly #look: Look;
  readonly #findings: Finding[] = [];

  constructor(place: string, target: ServerTarget, probe: HttpProbe, look: Look) {
    this.#place = place;
    this.#target = target;
    this.#probe = probe;
    this.#look = look;
  }

  async run(at: number): Promise<Diagnosis> {
    const { onStep } = this.#look;
    const identity = { place: this.#place, kind: "server" as const, at };
    onStep("Connecting");
    this.#add(await this.#connecting());
    this.#add(await this.#health());
    this.#add([await this.#tls()]);
    const metrics = await this.#metrics();
    if (!(metrics instanceof ServerMetrics)) {
      this.#add([metrics]);
      return diagnosisOf(identity, this.#findings);
    }
    this.#add(claimFindings(this.#place, "empty claims", await timeClaims(() => this.#emptyClaim())));
    onStep("Looking at the queues");
    this.#add(queueFindings(this.#place, await this.#queues()));
    const roundTrips = await this.#measure();
    const after = await this.#metrics();
    if (after instanceof ServerMetrics) this.#add(serverFindings(this.#place, metrics, after));
    return diagnosisOf(identity, this.#findings, [roundTrips]);
  }

  #add(findings: readonly Finding[]): void {
    this.#findings.push(...findings);
  }

  async #connecting(): Promise<Finding[]> {
    const startedAt = performance.now();
    const { date } = await this.#probe.ask("GET", "/healthz");
    const connecting = graded({
      check: "connecting",
      where: this.#place,
      value: performance.now() - startedAt,
      unit: "ms",
      yellow: 50,
      red: 1_000,
      advice:
        "A new connection takes long: look at the name service, the network, TLS, and what stands between",
    });
    if (date === undefined) return [connecting];
    // The header tells whole seconds: half a second later is the best guess, and right to within a half.
    const skewS = (date + 500 - Date.now()) / 1_000;
    const skew = graded({
      check: "clock skew",
      where: this.#place,
      value: Math.max(0, Math.abs(skewS) - 0.5),
      unit: "s",
      ...SKEW_S,
      figure: `${skewS < 0 ? "−" : "+"}${Math.abs(skewS).toFixed(1)} s against this machine, ± 0.5 s`,
      advice: SKEW_ADVICE,
    });
    return [connecting, skew];
  }

  async #health(): Promise<Finding[]> {
    const [alive, ready] = [
      await this.#probe.ask("GET", "/healthz"),
      await this.#probe.ask("GET", "/readyz"),
    ];
    const line = (check: string, answer: ProbeAnswer, advice: string) =>
      judged(answer.status === 200 ? "green" : "red", {
        check,
        where: this.#place,
        figure: answer.status === 200 ? "yes" : `${answer.status}: ${messageIn(answer)}`,
        bound: "200",
        advice,
      });
    return [
      line("alive", alive, "Only a restart of the server can help: see its log first"),
      line("ready", ready, "It takes no calls now; it does again by itself once the reason is gone"),
    ];
  }

  #tls(): Promise<Finding> {
    const { protocol, hostname, port } = this.#target.url;
    const isTls = protocol === "https:";
    const host = hostname.replace(/^\[|\]$/g, "");
    return tlsFinding({ host, port: Number(port) || (isTls ? 443 : 80) }, isTls);
  }

  /** The metrics, or why they cannot be read: then this may be no server of Dibs, or want a token. */
  async #metrics(): Promise<ServerMetrics | Finding> {
    const answer = await this.#probe.ask("GET", "/metrics");
    if (answer.status === 200 && answer.text.includes("dibs_")) return new ServerMetrics(answer.text);
    const isToken = answer.status === 401 || answer.status === 403;
    return {
      check: "access",
      where: this.#place,
      colour: "red",
      figure: `${answer.status}: ${messageIn(answer)}`,
      bound: "a server of Dibs that lets us in",
      advice: isToken
        ? "Give the token of the server: --token, or better DIBS_TOKEN"
        : "This does not look like a server of Dibs: is the address right?",
    };
  }

  async #emptyClaim(): Promise<number> {
    const body = JSON.stringify({ queues: [NOBODYS_QUEUE], max: 1, waitMs: 0 });
    const startedAt = nowNs();
    const answer = await this.#probe.ask("POST", "/v1/claims", body);
    if (answer.status !== 200 && answer.status !== 204)
      throw new Error(`A claim was answered with ${answer.status}: ${messageIn(answer)}`);
    return nowNs() - startedAt;
  }

  async #queues(): Promise<QueuesFacts> {
    const { url, token } = this.#target;
    const connection = new HttpConnection(url, token === undefined ? {} : { token });
    try {
      const all = await connection.queues();
      const queues: QueueFacts[] = [];
      for (const { queue } of all.slice(0, QUEUES_MAX)) queues.push(await factsOf(connection, queue));
      return { now: Date.now(), queues, total: all.length, isServed: true };
    } finally {
      await connection.close();
    }
  }

  async #measure() {
    const { forMs, signal, onStep } = this.#look;
    onStep(`Measuring round trips for ${Math.round(forMs / 1_000)} s`);
    const ask = () => this.#probe.ask("GET", "/healthz");
    const [roundTrips, machine] = await watched(() => measureRoundTrips(this.#place, ask, forMs, signal));
    this.#add(roundTripFindings(roundTrips));
    this.#add(machineFindings(machine));
    return roundTrips;
  }
}

async function factsOf(connection: HttpConnection, name: string): Promise<QueueFacts> {
  const message = await connection.queue(name);
  return { ...factsIn(message), leases: await leasesOf(connection, message) };
}

function factsIn({ queue, paused, counts, enqueued, pruned, config, oldestReadyAt }: QueueMessage) {
  return {
    queue: parseQueueName(queue) as QueueName,
    paused,
    counts,
    enqueued,
    pruned,
    ...(config !== undefined && { config }),
    ...(oldestReadyAt !== undefined && { oldestReadyAt }),
  };
}

async function leasesOf(connection: HttpConnection, { queue, counts }: QueueMessage) {
  if (counts.leased === 0) return [];
  const { tasks } = await connection.list(queue, { state: "leased", limit: LEASES_MAX });
  return tasks.flatMap(({ lease }) =>
    lease === undefined ? [] : [{ expiresAt: lease.expiresAt, ms: lease.ms }],
  );
}

function messageIn({ text }: ProbeAnswer): string {
  try {
    const { error } = JSON.parse(text) as { error?: { message?: string } };
    if (error?.message !== undefined) return error.message;
  } catch {
    // Not of Dibs: its beginning tells most.
  }
  return text.slice(0, 100).replace(/\s+/g, " ");
}
