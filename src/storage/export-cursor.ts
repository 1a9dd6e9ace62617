import { InvalidRequestError } from "../task/errors.ts";
import { TASK_STATES, type TaskState } from "../task/task.ts";
import type { ExportPage } from "./stored-task.ts";

/** What an export holds, in turn: the tasks of each state, then the keys. */
export type ExportChapter = TaskState | "keys";
const CHAPTERS: readonly ExportChapter[] = [...TASK_STATES, "keys"];

/** Where an export goes on: in which chapter, and there behind an engine's own cursor, absent at its beginning. */
export interface ExportPosition {
  readonly chapter: ExportChapter;
  readonly cursor?: string;
}

/** @throws {InvalidRequestError} for a text that no export gave. */
export function parseExportCursor(text: string | undefined): ExportPosition {
  if (text === undefined) return { chapter: CHAPTERS[0] as ExportChapter };
  const [name, ...rest] = text.split("/");
  const chapter = CHAPTERS.find((known) => known === name);
  const isKeys = /^\d{1,15}$/.test(rest[0] ?? "");
  if (chapter === undefined || rest.length > 1 || (chapter === "keys" && rest[0] !== undefined && !isKeys)) {
    throw new InvalidRequestError(`Expected \`cursor\` from the page before, got ${JSON.stringify(text)}`, {
      details: { field: "cursor", bound: "from the page before", value: text },
    });
  }
  return rest[0] === undefined ? { chapter } : { chapter, cursor: rest[0] };
}

/** The page with the cursor of the next one: in the same chapter while that goes on, else the next chapter's. */
export function exportPage(
  chapter: ExportChapter,
  { keys = [], tasks = [] }: Partial<ExportPage>,
  cursor: string | undefined,
): ExportPage {
  const next = cursor === undefined ? CHAPTERS[CHAPTERS.indexOf(chapter) + 1] : `${chapter}/${cursor}`;
  return next === undefined ? { keys, tasks } : { keys, tasks, cursor: next };
}
