import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, relative, resolve } from "node:path";
import { InvalidRequestError } from "../../task/errors.ts";
import { ladderChart } from "./ladder-chart.ts";
import { ladderMarkdown } from "./ladder-markdown.ts";
import type { LadderReport } from "./ladder-report.ts";

const BEGIN = "<!-- ladder: made by dibs ladder, do not edit -->";
const END = "<!-- ladder: end -->";

export interface LadderFiles {
  /** The files' name without its ending: `.json`, `.svg` and `.md` are written. */
  readonly save?: string;
  /** A Markdown file whose part between the ladder's two comments is written anew. */
  readonly into?: string;
}

/**
 * Sees before the minutes of measuring that what is to be written can be.
 * @throws {InvalidRequestError} that names what is missing.
 */
export async function checkFiles({ save, into }: LadderFiles): Promise<void> {
  if (save !== undefined) await mkdir(dirname(resolve(save)), { recursive: true });
  if (into !== undefined) await partsOf(into);
}

/** Writes them; their names. `command` is what was called. */
export async function writeFiles(
  report: LadderReport,
  files: LadderFiles,
  command: string,
): Promise<string[]> {
  const { save, into } = files;
  const svg = save === undefined ? undefined : `${save}.svg`;
  const markdownFor = (file: string) =>
    ladderMarkdown(report, {
      command,
      ...(svg !== undefined && {
        chart: relative(dirname(resolve(file)), resolve(svg)).replaceAll("\\", "/"),
      }),
    });
  const texts: (readonly [file: string, text: string])[] = [];
  if (save !== undefined && svg !== undefined) {
    texts.push([`${save}.json`, `${JSON.stringify(report, null, 2)}\n`]);
    texts.push([svg, `${ladderChart(report)}\n`]);
    texts.push([`${save}.md`, `# The ladder\n\n${markdownFor(`${save}.md`)}\n`]);
  }
  if (into !== undefined) {
    const [before, after] = await partsOf(into);
    texts.push([into, `${before}${BEGIN}\n\n${markdownFor(into)}\n\n${END}${after}`]);
  }
  for (const [file, text] of texts) await writeFile(file, text);
  return texts.map(([file]) => file);
}

async function partsOf(file: string): Promise<readonly [before: string, after: string]> {
  const text = await readFile(file, "utf8").catch((error: Error) => {
    throw new InvalidRequestError(`Cannot write the ladder into ${file}: ${error.message}`);
  });
  const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
  if (begin < 0 || end < begin)
    throw new InvalidRequestError(`${file} has no place for the ladder: the lines ${BEGIN} and ${END}`);
  return [text.slice(0, begin), text.slice(end + END.length)];
}
