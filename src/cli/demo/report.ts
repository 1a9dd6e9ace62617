import { bytes, count, duration, milliseconds } from "../format.ts";
import type { Output } from "../output.ts";
import type { Audit } from "./audit.ts";
import type { Seen } from "./own-pass.ts";
import type { Run } from "./run.ts";

/** Shows the audit: a page for people, the whole of it for machines. */
export function showAudit(output: Output, audit: Audit, run: Run, seen: Iterable<Seen>): void {
  const size = [...seen].reduce((sum, { digest }) => sum + ("size" in digest ? digest.size : 0), 0);
  const perSecond = Math.round(audit.completed / (run.tookMs / 1_000));
  const { latency } = run.queue;
  output.emit({
    ...audit,
    bytes: size,
    tookMs: Math.round(run.tookMs),
    perSecond,
    killed: run.killed,
    latency,
  });
  output.print(
    `\n${count(audit.files)} files, ${bytes(size)} in ${duration(run.tookMs)}: ${count(perSecond)} tasks a second\n`,
  );
  if (latency !== undefined) showLatency(output, latency);
  output.print(
    `\n${count(audit.claims)} claims = ${count(audit.files)} files + ${count(audit.redeliveries.length)} redeliveries` +
      `${run.killed === undefined ? "" : ` after ${run.killed.worker} was killed`}\n`,
  );
  for (const { name, ok } of audit.checks) {
    output.print(`${ok ? output.styled("green", "  ok  ") : output.styled("red", "FAULT ")} ${name}`);
  }
  if (audit.outages > 0)
    output.print(`       the store was away; what it did then and could not answer is not counted`);
  for (const fault of audit.faults) output.print(`       ${fault}`);
  for (const path of audit.unjudged.slice(0, UNJUDGED_SHOWN)) output.print(`       kept changing: ${path}`);
  output.print(`\n${verdictLine(audit)}`);
}

const UNJUDGED_SHOWN = 10;

type Latency = NonNullable<Run["queue"]["latency"]>;

function showLatency(output: Output, { claim, wait }: Latency): void {
  output.table(
    [
      { title: "LAST MINUTE", value: ([name]) => name },
      { title: "P50", value: ([, of]) => milliseconds(of.p50) },
      { title: "P99", value: ([, of]) => milliseconds(of.p99) },
      { title: "P99.9", value: ([, of]) => milliseconds(of.p999) },
    ],
    [["claim", claim] as const, ["enqueue to claim", wait] as const],
  );
}

function verdictLine({ verdict, unjudged, redeliveries, faults }: Audit): string {
  if (verdict === "passed") return "The audit passed: every file once, nothing lost, nothing doubled.";
  if (verdict === "failed") return `The audit FAILED with ${count(faults.length)} faults.`;
  if (redeliveries.length === 0) return "Not judged: no worker held a task when one was to be killed.";
  return `Not judged: ${count(unjudged.length)} files changed more than once while their tasks ran.`;
}
