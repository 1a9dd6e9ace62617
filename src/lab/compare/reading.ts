import type { RunFigures } from "./figures.ts";
import type { Side } from "./side.ts";

/** What one report of a file says; several of them may make one side. */
export interface Reading extends Omit<Side, "label"> {
  /**
   * Of a report of one run: that run. Its `runs` are then parts of it, in order, which agree more with each other than
   * runs do, but are better than nothing.
   */
  readonly whole?: RunFigures;
}
