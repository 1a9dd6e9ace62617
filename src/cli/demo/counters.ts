/** Reads single numbers from Prometheus text, as the server's `/metrics` gives it. */

/** The value of a counter with these labels; 0 while it was never counted. */
export function counter(text: string, name: string, labels: Readonly<Record<string, string>>): number {
  for (const line of text.split("\n")) {
    const match = /^([a-z_]+)\{([^}]*)\} (\S+)/.exec(line);
    if (match?.[1] === name && hasLabels(match[2] as string, labels)) return Number(match[3]);
  }
  return 0;
}

function hasLabels(written: string, labels: Readonly<Record<string, string>>): boolean {
  return Object.entries(labels).every(([key, value]) => written.split(",").includes(`${key}="${value}"`));
}
