import type { Diagnosis, Look } from "../../src/lab/doctor/diagnosis.ts";
import { examine, type Target } from "../../src/lab/doctor/doctor.ts";
import type { Finding } from "../../src/lab/doctor/finding.ts";

/** Long enough for some round trips. Nothing here judges how long they take. */
const FOR_MS = 60;

/** One look, and the lines of it by what was looked at. */
export class LookedAt {
  readonly diagnosis: Diagnosis;

  private constructor(diagnosis: Diagnosis) {
    this.diagnosis = diagnosis;
  }

  static async at(target: Target, look: Partial<Look> = {}): Promise<LookedAt> {
    const signal = new AbortController().signal;
    return new LookedAt(await examine(target, { forMs: FOR_MS, signal, onStep: () => undefined, ...look }));
  }

  static redis(url: string, options: { readonly prefix?: string } = {}): Promise<LookedAt> {
    return LookedAt.at({ kind: "redis", url, ...options });
  }

  static folder(folder: string): Promise<LookedAt> {
    return LookedAt.at({ kind: "folder", folder, tasksMax: 1_000 });
  }

  get checks(): readonly string[] {
    return this.diagnosis.findings.map(({ check }) => check);
  }

  /** The lines of one check; there is at least one. */
  lines(check: string): readonly Finding[] {
    const found = this.diagnosis.findings.filter((finding) => finding.check === check);
    if (found.length === 0) throw new Error(`No line of ${check} among ${this.checks.join(", ")}`);
    return found;
  }

  /** The only line of one check. */
  line(check: string): Finding {
    const [only, ...others] = this.lines(check);
    if (others.length > 0) throw new Error(`${others.length + 1} lines of ${check}`);
    return only as Finding;
  }

  /** All that is not green, but for what the load of this machine decides. */
  get troubles(): readonly string[] {
    const ofTheMachine =
      /^(round trip|.*claim|event-loop|GC|CPU|connecting|opening|disk sync|last fork|waiting for)/;
    return this.diagnosis.findings
      .filter(({ colour, check }) => colour !== "green" && !ofTheMachine.test(check))
      .map(({ colour, check }) => `${colour} ${check}`);
  }
}
