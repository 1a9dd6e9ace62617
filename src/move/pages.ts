import type { Storage } from "../storage/storage.ts";
import type { ExportPage } from "../storage/stored-task.ts";
import type { QueueName } from "../task/ids.ts";

/** Small enough that no page holds a store up for more than a few milliseconds. */
const PAGE = Object.freeze({ limit: 200, bytesMax: 1024 * 1024 });

/** All pages of an export, each fetched while the one before is worked on. */
export async function* pagesOf(storage: Storage, queue: QueueName): AsyncGenerator<ExportPage, void, void> {
  let next: Promise<ExportPage> | undefined = storage.exportTasks(queue, PAGE);
  while (next !== undefined) {
    const page: ExportPage = await next;
    next =
      page.cursor === undefined ? undefined : storage.exportTasks(queue, { ...PAGE, cursor: page.cursor });
    // Whoever leaves half-way does not wait for it; whoever goes on hears of its failure.
    next?.catch(() => {});
    yield page;
  }
}
