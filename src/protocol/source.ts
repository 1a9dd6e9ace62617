/**
 * Finds values in JSON text by their place, so that payloads and results keep the text they came in:
 * a number too large for JavaScript, `-0`, `1e400` or an escape is handed on as it was written.
 *
 * Everything but {@link nestsDeeperThan} expects text that `JSON.parse` has accepted.
 */
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** The text of the last member `key` of the object that `json` is; undefined when it has none. */
export function memberText(json: string, key: string): string | undefined {
  const start = skipSpace(json, 0);
  return json.charCodeAt(start) === OPEN_OBJECT ? memberAt(json, start, key) : undefined;
}

/** {@link memberText} for each object of the array `list` of the object that `json` is. */
export function memberTexts(json: string, list: string, key: string): (string | undefined)[] {
  const items = memberText(json, list);
  if (items === undefined || items.charCodeAt(0) !== OPEN_ARRAY) return [];
  const texts: (string | undefined)[] = [];
  let at = skipSpace(items, 1);
  while (at < items.length && items.charCodeAt(at) !== CLOSE_ARRAY) {
    texts.push(items.charCodeAt(at) === OPEN_OBJECT ? memberAt(items, at, key) : undefined);
    at = skipSpace(items, skipValue(items, at));
    if (items.charCodeAt(at) === COMMA) at = skipSpace(items, at + 1);
  }
  return texts;
}

/** True when arrays and objects nest deeper than `depthMax` in text that may not even be JSON. */
export function nestsDeeperThan(text: string, depthMax: number): boolean {
  // Each level opens and closes, so short texts need no look.
  if (text.length <= depthMax) return false;
  let depth = 0;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) at = skipString(text, at) - 1;
    else if (code === OPEN_ARRAY || code === OPEN_OBJECT) {
      depth += 1;
      if (depth > depthMax) return true;
    } else if (code === CLOSE_ARRAY || code === CLOSE_OBJECT) depth -= 1;
  }
  return false;
}

function memberAt(json: string, open: number, key: string): string | undefined {
  let found: string | undefined;
  let at = skipSpace(json, open + 1);
  while (json.charCodeAt(at) === QUOTE) {
    const nameEnd = skipString(json, at);
    const isKey = namesKey(json, at, nameEnd, key);
    const valueStart = skipSpace(json, skipSpace(json, nameEnd) + 1); // past the colon
    const valueEnd = skipValue(json, valueStart);
    // The last of several members of one name counts, as for JSON.parse.
    if (isKey) found = json.slice(valueStart, valueEnd);
    at = skipSpace(json, valueEnd);
    if (json.charCodeAt(at) === COMMA) at = skipSpace(json, at + 1);
  }
  return found;
}

function namesKey(json: string, start: number, end: number, key: string): boolean {
  if (end - start === key.length + 2) return json.startsWith(key, start + 1);
  if (end - start < key.length + 2) return false;
  // A name may be written with escapes, which only make it longer.
  const name = json.slice(start, end);
  return name.includes("\\") && JSON.parse(name) === key;
}

function skipSpace(json: string, from: number): number {
  let at = from;
  while (json.charCodeAt(at) <= 0x20) at += 1;
  return at;
}

/** The place after the value that begins at `start`. */
function skipValue(json: string, start: number): number {
  const first = json.charCodeAt(start);
  if (first === QUOTE) return skipString(json, start);
  if (first === OPEN_ARRAY || first === OPEN_OBJECT) return skipNested(json, start);
  let at = start;
  while (at < json.length && !endsScalar(json.charCodeAt(at))) at += 1;
  return at;
}

function endsScalar(code: number): boolean {
  return code === COMMA || code === CLOSE_ARRAY || code === CLOSE_OBJECT || code <= 0x20 || code === COLON;
}

function skipNested(json: string, start: number): number {
  let depth = 0;
  for (let at = start; at < json.length; at += 1) {
    const code = json.charCodeAt(at);
    if (code === QUOTE) at = skipString(json, at) - 1;
    else if (code === OPEN_ARRAY || code === OPEN_OBJECT) depth += 1;
    else if (code === CLOSE_ARRAY || code === CLOSE_OBJECT) {
      depth -= 1;
      if (depth === 0) return at + 1;
    }
  }
  return json.length;
}

/** The place after the string that begins with the quote at `start`; the end of the text when it never ends. */
function skipString(json: string, start: number): number {
  let end = json.indexOf('"', start + 1);
  while (end !== -1) {
    let slash = end - 1;
    while (json.charCodeAt(slash) === BACKSLASH) slash -= 1;
    if ((end - slash) % 2 === 1) return end + 1;
    end = json.indexOf('"', end + 1);
  }
  return json.length;
}
