/** What to do about a damaged folder, line by line, as commands that can be run as they stand. */
export function remedyOf(folder: string): string {
  const { salvage, serve } = wayOut(folder);
  return [
    "To see all that is damaged:",
    `  dibs store verify ${shellWord(withoutEnd(folder))}`,
    "To save what can be trusted in a new folder, with a list of what was lost, and go on with that:",
    `  ${salvage}`,
    `  ${serve}`,
    "Or restore a backup.",
  ].join("\n");
}

/** The two commands from a damaged folder to a server. */
export function wayOut(folder: string): { readonly salvage: string; readonly serve: string } {
  const from = withoutEnd(folder);
  const to = shellWord(`${from}.salvaged`);
  return { salvage: `dibs store salvage ${shellWord(from)} ${to}`, serve: `dibs serve --store ${to}` };
}

function withoutEnd(folder: string): string {
  return folder.replace(/(?<=.)[\\/]+$/, "");
}

/** As a shell takes it for one word. */
export function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
