import { onTestFinished } from "vitest";
import { Broker, type BrokerOptions } from "../../src/broker/broker.ts";
import type { ClaimRequest, EnqueueRequest } from "../../src/broker/requests.ts";
import { type Clock, ManualClock, steadyClock } from "../../src/clock.ts";
import { EmbeddedStorage } from "../../src/storage/embedded/embedded-storage.ts";
import type { Storage, StorageEvent } from "../../src/storage/storage.ts";
import type { QueueName } from "../../src/task/ids.ts";
import type { ClaimedTask } from "../../src/task/task.ts";

export const EMAILS = "emails" as QueueName;
export const RENDERS = "renders" as QueueName;

type Verb = keyof Storage;

/** Stands between a broker and its real engine: sees every call, and may hold it up or let it fail. */
export interface Witness {
  /** The verb and the arguments of every call so far. */
  readonly calls: { readonly verb: Verb; readonly args: readonly unknown[] }[];
  /** Set by a test: makes the call, now or later, or throws in its place. */
  intervene: ((verb: Verb, call: () => Promise<unknown>) => Promise<unknown>) | undefined;
  count(verb: Verb): number;
  /** Tells the broker an event, as an engine does. */
  tell(event: StorageEvent): void;
  /** True while the engine's own events are lost. */
  isDeaf: boolean;
}

export interface Opened {
  readonly broker: Broker;
  readonly witness: Witness;
  readonly storage: Storage;
}

/** A broker over the real engine, in memory; closed when the test is over. */
export async function opened(options: BrokerOptions = {}, clock: Clock = steadyClock()): Promise<Opened> {
  const { storage, witness } = witnessed(await EmbeddedStorage.open({ clock }));
  const broker = await Broker.open(storage, options);
  witness.calls.length = 0;
  onTestFinished(async () => {
    witness.intervene = undefined;
    await broker.close();
  });
  return { broker, storage, witness };
}

/** As {@link opened}, with time that moves only when told. */
export async function openedAtRest(options: BrokerOptions = {}): Promise<Opened & { clock: ManualClock }> {
  const clock = new ManualClock();
  return { ...(await opened(options, clock)), clock };
}

function witnessed(engine: Storage): { storage: Storage; witness: Witness } {
  const listeners = new Set<(event: StorageEvent) => void>();
  engine.subscribe((event) => {
    if (!witness.isDeaf) witness.tell(event);
  });
  const witness: Witness = {
    calls: [],
    isDeaf: false,
    tell: (event) => {
      for (const listener of listeners) listener(event);
    },
    intervene: undefined,
    count: (verb) => witness.calls.filter((call) => call.verb === verb).length,
  };
  const storage = new Proxy(engine, {
    get(target, verb: Verb) {
      if (verb === "subscribe") return listening(listeners);
      const member: unknown = target[verb];
      if (typeof member !== "function") return member;
      const method = member as (...args: unknown[]) => Promise<unknown>;
      return (...args: unknown[]) => {
        witness.calls.push({ verb, args });
        const call = () => method.apply(target, args);
        return witness.intervene === undefined || !(verb in HELD) ? call() : witness.intervene(verb, call);
      };
    },
  });
  return { storage, witness };
}

function listening(listeners: Set<(event: StorageEvent) => void>): Storage["subscribe"] {
  return (listener) => {
    listeners.add(listener);
    return () => listeners.delete(listener);
  };
}

/** Verbs that answer with a promise, so that a test may keep them waiting. */
const HELD: Readonly<Partial<Record<Verb, true>>> = {
  enqueue: true,
  claim: true,
  settle: true,
  heartbeat: true,
  promoteDue: true,
  reapExpired: true,
  prune: true,
  nextDueAt: true,
  get: true,
  awaitEnd: true,
};

export function anEnqueue(fields: Partial<EnqueueRequest> = {}): EnqueueRequest {
  return { queue: EMAILS, payload: "{}", ...fields };
}

export function aClaim(fields: Partial<ClaimRequest> = {}): ClaimRequest {
  return { queues: [EMAILS], max: 1, waitMs: 0, ...fields };
}

export function completed({ id, lease }: ClaimedTask) {
  return { outcome: "complete", id, token: lease.token } as const;
}

export function released({ id, lease }: ClaimedTask) {
  return { outcome: "release", id, token: lease.token } as const;
}

export function nacked({ id, lease }: ClaimedTask, delayMs = 0) {
  return { outcome: "nack", id, token: lease.token, delayMs } as const;
}

/** Payloads in order. */
export function payloads(tasks: readonly { readonly payload: string }[]): string[] {
  return tasks.map((task) => task.payload);
}

/** Resolves when the condition holds; looks after each turn of the event loop. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setImmediate(resolve));
}

/** Lets everything that is under way and needs no time come to its end. */
export async function settledDown(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

/** A promise that the test resolves. */
export function gate(): { readonly opened: Promise<void>; open(): void } {
  let open = (): void => {};
  const promise = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { opened: promise, open };
}
