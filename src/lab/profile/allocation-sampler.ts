import type { HeapProfiler, Runtime } from "node:inspector";
import { Session } from "node:inspector/promises";

/** As V8 writes it and Chrome's developer tools read it from a `.heapprofile`: who allocated, not who keeps. */
export interface AllocationProfile {
  readonly head: AllocationNode;
}

export interface AllocationNode {
  readonly callFrame: Runtime.CallFrame;
  /** Bytes, an estimate from the samples. */
  readonly selfSize: number;
  readonly id: number;
  readonly children: readonly AllocationNode[];
}

/** A sample each so many bytes in the mean: some thousand a second at a few hundred MB/s, some percent of the time. */
const INTERVAL_BYTES = 32_768;

/**
 * Samples what this process allocates on its heap, with what was collected since. Between `pause` and `resume` nothing
 * is sampled.
 */
export class AllocationSampler {
  readonly #session = new Session();
  #root: Merged | undefined;

  constructor() {
    this.#session.connect();
  }

  async resume(): Promise<void> {
    await this.#session.post("HeapProfiler.startSampling", {
      samplingInterval: INTERVAL_BYTES,
      // Most of what a claim allocates is gone with the next collection.
      includeObjectsCollectedByMajorGC: true,
      includeObjectsCollectedByMinorGC: true,
    } as HeapProfiler.StartSamplingParameterType);
  }

  async pause(): Promise<void> {
    const { profile } = await this.#session.post("HeapProfiler.stopSampling");
    this.#root ??= emptyOf(profile.head.callFrame);
    merge(this.#root, profile.head);
  }

  /** All that was sampled. Once. */
  stop(): AllocationProfile {
    this.#session.disconnect();
    const root =
      this.#root ??
      emptyOf({ functionName: "(root)", scriptId: "0", url: "", lineNumber: -1, columnNumber: -1 });
    let id = 0;
    const written = (node: Merged): AllocationNode => {
      id += 1;
      return {
        callFrame: node.callFrame,
        selfSize: node.selfSize,
        id,
        children: [...node.children.values()].map(written),
      };
    };
    return { head: written(root) };
  }
}

/** The same path of calls in several stretches is one. */
interface Merged {
  readonly callFrame: Runtime.CallFrame;
  selfSize: number;
  readonly children: Map<string, Merged>;
}

function emptyOf(callFrame: Runtime.CallFrame): Merged {
  return { callFrame, selfSize: 0, children: new Map() };
}

function merge(into: Merged, node: HeapProfiler.SamplingHeapProfileNode): void {
  into.selfSize += node.selfSize;
  for (const child of node.children) {
    const { functionName, scriptId, lineNumber, columnNumber } = child.callFrame;
    const key = `${functionName} ${scriptId} ${lineNumber} ${columnNumber}`;
    let same = into.children.get(key);
    if (same === undefined) {
      same = emptyOf(child.callFrame);
      into.children.set(key, same);
    }
    merge(same, child);
  }
}
