import type { Storage } from "../../src/storage/storage.ts";

/** Numbers above this are moments, except for fences. */
const MOMENTS = 1e12;
const LENGTHS = ["ranMs", "latenessMs"];

/**
 * The engine with all times of its answers cut to whole steps since `start`: for comparing an engine whose
 * clock runs on with a model whose clock stands still between two calls. Exact as long as less than a step has
 * passed since `start`, beside what the clock was moved by whole steps.
 */
export function steppedStorage(storage: Storage, start: number, stepMs: number): Storage {
  const cut = (ms: number) => Math.floor(ms / stepMs) * stepMs;
  const cutValue = (value: unknown, name: string): unknown => {
    if (typeof value === "number") {
      if (LENGTHS.includes(name)) return cut(value);
      return value > MOMENTS && name !== "fence" ? start + cut(value - start) : value;
    }
    if (Array.isArray(value)) return value.map((each) => cutValue(each, name));
    if (typeof value !== "object" || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, cutValue(each, key)]));
  };
  return new Proxy(storage, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => {
        const answer: unknown = member.apply(target, args);
        return answer instanceof Promise ? answer.then((value) => cutValue(value, "")) : answer;
      };
    },
  });
}
