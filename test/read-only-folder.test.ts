import { spawnSync } from "node:child_process";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import type { TaskMessage } from "../src/protocol/messages.ts";
import { dibs, ServerProcess } from "./command.ts";
import { Http } from "./crash/http.ts";

/** The superuser may write to a folder whatever its mode says: for it a file system is made that nobody may write to. */
const IS_SUPERUSER = process.getuid?.() === 0;

let place: string;
let mountRefused: string | undefined;
let server: ServerProcess | undefined;

beforeEach(async () => {
  place = await mkdtemp(join(tmpdir(), "dibs-read-only-"));
  if (IS_SUPERUSER) mountRefused = mount("-t", "tmpfs", "-o", "size=32m", "dibs-read-only", place);
});

afterEach(async () => {
  await server?.stop();
  if (IS_SUPERUSER && mountRefused === undefined) spawnSync("umount", [place]);
  else await setWritable(true).catch(() => {}); // There may be nothing yet.
  await rm(place, { recursive: true, force: true });
});

/** Why it did not work; undefined when it did. */
function mount(...args: string[]): string | undefined {
  const { status, error, stderr } = spawnSync("mount", args);
  return status === 0 ? undefined : (error?.message ?? stderr.toString().trim());
}

async function setWritable(isWritable: boolean): Promise<void> {
  if (IS_SUPERUSER) expect(mount("-o", `remount,${isWritable ? "rw" : "ro"}`, place)).toBeUndefined();
  else
    for (const name of ["", "store", "store/lock"])
      await chmod(join(place, name), isWritable ? 0o755 : 0o555);
}

async function serve<T>(work: (http: Http) => Promise<T>): Promise<T> {
  server = await ServerProcess.start(join(place, "store"));
  const http = new Http(server.url);
  try {
    return await work(http);
  } finally {
    http.close();
    await server.terminate();
  }
}

describe("a folder that cannot be written to", () => {
  it("is refused by name, left as it is, and served again when it can be written to", async ({ skip }) => {
    if (process.platform === "win32") skip("modes of folders mean something else there");
    if (mountRefused !== undefined) skip(`no read-only file system: ${mountRefused}`);
    const { id } = await serve(async (http) => {
      const { body } = await http.post("/v1/tasks", { queue: "mail", payload: "kept" });
      return body as TaskMessage;
    });
    await setWritable(false);

    const { code, stderr } = await dibs(["serve", "--store", join(place, "store"), "--port", "0"]);

    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^dibs: Cannot open the folder \S+\/store: (EROFS|EACCES|EPERM).*\(storage_unavailable\)$/m,
    );
    await setWritable(true);
    const kept = await serve((http) => http.get(`/v1/tasks/${id}`));
    expect(kept).toMatchObject({ status: 200, body: { state: "ready", payload: "kept" } });
  });
});
