/** The fields of a reply to INFO, or of one to CLUSTER INFO. */
export function infoOf(reply: unknown): Readonly<Record<string, string>> {
  const fields: Record<string, string> = {};
  for (const line of String(reply).split("\r\n")) {
    const colon = line.indexOf(":");
    if (colon > 0 && !line.startsWith("#")) fields[line.slice(0, colon)] = line.slice(colon + 1);
  }
  return fields;
}
