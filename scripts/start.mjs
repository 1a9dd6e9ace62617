#!/usr/bin/env node
// `npm start` and `npm run demo`: set-up, and then the command in this very process.
//
// The SIGTERM that a supervisor sends to npm ends npm and its shell, but the shell does not hand it on. Then
// this process has another parent, and ends as if it had got the signal: it drains and lets the folder go.
const LOOK_MS = 250;

await import("./setup.mjs");
if (process.exitCode === undefined) {
  const parent = process.ppid;
  const looking = setInterval(() => {
    if (process.ppid === parent) return;
    clearInterval(looking);
    process.kill(process.pid, "SIGTERM");
  }, LOOK_MS);
  looking.unref();
  await import(new URL("../dist/cli/main.js", import.meta.url).href);
}
