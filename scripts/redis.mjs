// What the tests need of Redis: a server program that they can start, because they also stop and kill theirs.
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { delimiter, join } from "node:path";
import { SetupError } from "./setup-error.mjs";

/** Valkey takes the same arguments and speaks the same protocol. */
const PROGRAMS = ["redis-server", "valkey-server"];

const HOW_TO_GET_ONE = `The tests run on a real Redis, and neither ${PROGRAMS.join(" nor ")} is on PATH. Install one:
  Debian, Ubuntu   apt-get install redis-server
  Fedora           dnf install valkey
  macOS            brew install redis
or name one that runs already in DIBS_TEST_REDIS_URL (tests that stop theirs, or need a cluster, still start one).`;

// Debian starts the service of a package at once, unless this file says no: the tests start servers of their
// own, and nobody asked for one on the usual port.
const INSTALL = `
set -e
policy=/usr/sbin/policy-rc.d
apt-get update -qq -o Acquire::Retries=3
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\\nexit 101\\n' >"$policy"
  chmod +x "$policy"
fi
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq -o Acquire::Retries=3 --no-install-recommends redis-server
`;

export function hasRedis() {
  return (process.env.DIBS_TEST_REDIS_URL ?? "") !== "" || PROGRAMS.some(isOnPath);
}

/** Installs Debian's package, where that takes no question and no password. */
export function installRedis() {
  const asRoot = rootPrefix();
  if (asRoot === undefined || !isOnPath("apt-get")) throw new SetupError(HOW_TO_GET_ONE);
  const [command, ...args] = [...asRoot, "sh", "-c", INSTALL];
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (status === 0 && hasRedis()) return;
  throw new SetupError(`apt-get said:\n${`${stdout}${stderr}`.trim()}\n\n${HOW_TO_GET_ONE}`);
}

/** What to put before a command so that it runs as root; undefined when that needs a password. */
function rootPrefix() {
  if (process.getuid?.() === 0) return [];
  const isAllowed = isOnPath("sudo") && spawnSync("sudo", ["-n", "true"]).status === 0;
  return isAllowed ? ["sudo", "-n"] : undefined;
}

function isOnPath(program) {
  const folders = (process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== "");
  return folders.some((folder) => isExecutable(join(folder, program)));
}

function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
