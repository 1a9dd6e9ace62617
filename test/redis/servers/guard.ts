import { type ChildProcess, spawn } from "node:child_process";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

// The guard is a small shell beside the test process. It reads from a pipe what it would have to clear away,
// and does so when the pipe ends: whichever way the test process ends, also by SIGKILL, its servers end with
// it and their folders go. It ignores Ctrl+C, which would otherwise end it before its work.
const GUARD = `
trap '' INT TERM HUP
pids=' ' folders=''
while IFS=' ' read -r what name; do
  case "$what" in
    started) pids="$pids$name " ;;
    ended) pids="\${pids%% $name *} \${pids#* $name }" ;;
    folder) folders="$folders $name" ;;
  esac
done
for pid in $pids; do kill -9 "$pid" 2>/dev/null; done
[ -n "$folders" ] && rm -rf $folders
`;

let guard: ChildProcess | undefined;

function tellGuard(what: "started" | "ended" | "folder", name: string | number): void {
  guard ??= startGuard();
  guard.stdin?.write(`${what} ${name}\n`);
}

function startGuard(): ChildProcess {
  const child = spawn("sh", ["-c", GUARD], { stdio: ["pipe", "ignore", "ignore"], detached: true });
  child.unref();
  // A pipe in Node is a socket, and one that is not unref'd would keep the test process alive.
  (child.stdin as unknown as { unref(): void }).unref();
  return child;
}

/** A server of this process: killed at the latest when this process ends. */
export function guardProcess(pid: number): void {
  tellGuard("started", pid);
}

/** The process has ended by itself: its number may soon be another's. */
export function releaseProcess(pid: number): void {
  tellGuard("ended", pid);
}

/** A folder of one's own in the temporary one, removed when this process ends. */
export async function guardedFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "dibs-redis-"));
  if (/\s/.test(folder)) return folder; // The guard's list is split at spaces; such a folder is left behind.
  tellGuard("folder", folder);
  return folder;
}
