// Groups of participants in a process of their own, to be killed or stopped at any moment, each with its own
// connection. Its argument is a JSON text: where, their plans and the file of the history. It takes commands, a
// line each, on stdin, and answers each with a line on stdout.
import { createInterface } from "node:readline";
import { Recorder } from "../../../build.participants/test/redis/history/recorder.js";
import { Participants } from "../../../build.participants/test/redis/load/participants.js";
import { openPlace } from "../../../build.participants/test/redis/load/place.js";

const { place, plans, file } = JSON.parse(process.argv[2]);
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

// A wall clock that somebody sets, also while it runs.
let offMs = 0;
const now = Date.now.bind(Date);
Date.now = () => now() + offMs;

const recorder = new Recorder(file);
const connections = await Promise.all(plans.map(() => openPlace(place)));
const groups = plans.map((plan, at) => new Participants(connections[at], recorder, plan));
say("ready");

for await (const line of createInterface({ input: process.stdin })) {
  const [command, value] = line.split(" ");
  if (command === "clock") offMs = Number(value);
  if (command === "stop-producing") await Promise.all(groups.map((group) => group.stopProducing()));
  if (command === "stop") {
    await Promise.all(groups.map((group) => group.stop()));
    await Promise.all(connections.map((connection) => connection.close()));
  }
  say({
    enqueued: groups.reduce((sum, { enqueued }) => sum + enqueued, 0),
    settled: groups.reduce((sum, { settled }) => sum + settled, 0),
    strange: groups.flatMap(({ strange }) => strange),
  });
  if (command === "stop") process.exit(0);
}
