/** What tests read out of documents. */

/** The text under a heading, up to the next one of its level or above. */
export function sectionOf(text: string, title: string): string {
  const lines = text.split("\n");
  const start = lines.findIndex((line) => line.replace(/^#+ /, "") === title && line.startsWith("#"));
  if (start === -1) throw new Error(`There is no heading "${title}"`);
  const level = /^#+/.exec(lines[start] as string)?.[0].length ?? 0;
  const after = lines.slice(start + 1);
  const end = after.findIndex((line) => new RegExp(`^#{1,${level}} `).test(line));
  return after.slice(0, end === -1 ? undefined : end).join("\n");
}

/** The fenced blocks of a language, in order. */
export function blocksIn(text: string, language: string): string[] {
  const blocks = text.matchAll(/^```(\w*)\n([\s\S]*?)^```$/gm);
  return [...blocks].filter(([, name]) => name === language).map(([, , block]) => block as string);
}

/** The rows of the tables, without their heads: cells as they stand. */
export function rowsUnder(text: string): string[][] {
  const rows = text.split("\n").filter((line) => line.startsWith("|"));
  const isRule = (line: string | undefined) => line !== undefined && /^\|[-|: ]+\|$/.test(line);
  return rows
    .filter((line, at) => !isRule(line) && !isRule(rows[at + 1]))
    .map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((cell) => cell.trim()),
    );
}
