/**
 * The JSON objects that stand in a text, each from the beginning of a line, whatever is between them: the banner and
 * the progress that k6 prints around a summary, or several files one after the other.
 */
export function jsonObjectsIn(text: string): unknown[] {
  const found: unknown[] = [];
  const start = /^[^\S\n]*\{/gm;
  for (let match = start.exec(text); match !== null; match = start.exec(text)) {
    const from = match.index + match[0].length - 1;
    const end = endOfObject(text, from);
    const value = end === undefined ? undefined : parsed(text.slice(from, end));
    if (value === undefined) continue;
    found.push(value);
    start.lastIndex = end as number;
  }
  return found;
}

/** Where the object that begins at `from` ends; undefined when it never does. */
function endOfObject(text: string, from: number): number | undefined {
  let depth = 0;
  const tokens = /"(?:[^"\\]|\\.)*"|[{}]/gs;
  tokens.lastIndex = from;
  for (let token = tokens.exec(text); token !== null; token = tokens.exec(text)) {
    if (token[0] === "{") depth += 1;
    if (token[0] === "}") depth -= 1;
    if (depth === 0) return tokens.lastIndex;
  }
  return undefined;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // A brace that begins no JSON; there may be some further on.
    return undefined;
  }
}
