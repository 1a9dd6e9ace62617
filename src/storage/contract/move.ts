import { exportChapter } from "./export.ts";
import { importAgainChapter, importChapter } from "./import.ts";
import { movedTasksChapter } from "./moved-tasks.ts";
import type { Suite } from "./suite.ts";

/** From one store to another: `dibs move`, from any engine to any. */
export function moveContract(suite: Suite): void {
  suite.chapter("what is exported", exportChapter);
  suite.chapter("what arrives", importChapter);
  suite.chapter("what goes on in the new store", movedTasksChapter);
  suite.chapter("again and half", importAgainChapter);
}
