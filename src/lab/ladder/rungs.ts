import type { Rung } from "./rung.ts";
import { batches } from "./rungs/batches.ts";
import { checkedScript } from "./rungs/checked-script.ts";
import { cold } from "./rungs/cold.ts";
import { fused } from "./rungs/fused.ts";
import { lists } from "./rungs/lists.ts";
import { merged } from "./rungs/merged.ts";
import { pipelined } from "./rungs/pipelined.ts";
import { pipelinedBatch } from "./rungs/pipelined-batch.ts";
import { product, productBatches } from "./rungs/product.ts";
import { productWorker } from "./rungs/product-worker.ts";
import { scan } from "./rungs/scan.ts";
import { scanAll } from "./rungs/scan-all.ts";
import { script } from "./rungs/script.ts";
import { sortedSet } from "./rungs/sorted-set.ts";

/** The ladder, from the bottom to the top. */
export const RUNGS: readonly Rung[] = [
  scan,
  scanAll,
  pipelined,
  script,
  checkedScript,
  pipelinedBatch,
  sortedSet,
  lists,
  cold,
  ...batches,
  merged,
  fused,
  product,
  productBatches,
  productWorker,
];

/** What a rung's factors are over: its own choice, or the rung before. Undefined for the first. */
export function baselineOf(rung: Rung): string | undefined {
  return rung.over ?? RUNGS[RUNGS.indexOf(rung) - 1]?.name;
}
