type Argument = string | number;

/** A command as RESP, ready to be written. */
export function commandText(name: string, args: readonly Argument[]): string {
  let text = `*${args.length + 1}\r\n${bulk(name)}`;
  for (const arg of args) text += bulk(arg);
  return text;
}

/** An EVALSHA as RESP. */
export function evalText(sha: string, keys: readonly string[], args: readonly Argument[]): string {
  let text = `*${3 + keys.length + args.length}\r\n$7\r\nEVALSHA\r\n$40\r\n${sha}\r\n${bulk(keys.length)}`;
  for (const key of keys) text += bulk(key);
  for (const arg of args) text += bulk(arg);
  return text;
}

function bulk(value: Argument): string {
  if (typeof value === "number") {
    const digits = String(value);
    return `$${digits.length}\r\n${digits}\r\n`;
  }
  return `$${Buffer.byteLength(value)}\r\n${value}\r\n`;
}
