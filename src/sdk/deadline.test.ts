import { describe, expect, it } from "vitest";
import { ConnectionLostError } from "../task/errors.ts";
import { withDeadline } from "./deadline.ts";

const never = () => new Promise<never>(() => {});
const nobody = () => {};

describe("a deadline", () => {
  it("gives what comes in time, and passes errors on", async () => {
    const options = { ms: 10_000, what: "A call", late: nobody };

    expect(await withDeadline(async () => "answer", options)).toBe("answer");
    await expect(
      withDeadline(async () => {
        throw new Error("no");
      }, options),
    ).rejects.toThrow("no");
  });

  it("gives up what does not come, even when it does not react", async () => {
    let told: AbortSignal | undefined;
    const call = withDeadline(
      (signal) => {
        told = signal();
        return never();
      },
      { ms: 10, what: "A claim", late: nobody },
    );

    await expect(call).rejects.toBeInstanceOf(ConnectionLostError);
    await expect(call).rejects.toThrow("A claim did not come back within 10 ms and was given up");
    expect(told?.aborted).toBe(true);
  });

  it("hands over what comes after all", async () => {
    let answer: (value: string) => void = nobody;
    const late: string[] = [];
    const call = withDeadline(
      () =>
        new Promise<string>((resolve) => {
          answer = resolve;
        }),
      { ms: 10, what: "A claim", late: (value) => late.push(value) },
    );
    await expect(call).rejects.toThrow("given up");

    answer("after all");

    await expect.poll(() => late).toEqual(["after all"]);
  });

  it("passes an earlier abort on, also one from before", async () => {
    const stop = new AbortController();
    const untilAborted = (own: () => AbortSignal) =>
      new Promise<never>((_, reject) => {
        const signal = own();
        if (signal.aborted) reject(signal.reason);
        signal.addEventListener("abort", () => reject(signal.reason));
      });
    const options = { ms: 10_000, what: "A call", late: nobody, signal: stop.signal };

    const running = withDeadline(untilAborted, options);
    stop.abort(new Error("enough"));

    await expect(running).rejects.toThrow("enough");
    await expect(withDeadline(untilAborted, options)).rejects.toThrow("enough");
  });
});
