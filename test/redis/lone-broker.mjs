// A broker in a process of its own, to be killed. Arguments: address, prefix, and what it does first, in JSON:
// { park: queues to wait at, enqueue: requests, claim: a request }. Says "ready" and, in JSON, what it claimed.
import { Broker } from "../../dist/broker/broker.js";
import { RedisStorage } from "../../dist/storage/redis/redis-storage.js";

const [url, prefix, text] = process.argv.slice(2);
const { park = [], enqueue = [], claim } = JSON.parse(text);
const broker = await Broker.open(await RedisStorage.open({ url, prefix }));
await broker.enqueueMany(enqueue);
const claimed = claim === undefined ? [] : await broker.claim(claim);
for (const queue of park) void broker.claim({ queues: [queue], max: 1, waitMs: 600_000 });
// What parks has asked once when a later question of the same queues is answered.
for (const queue of park) await broker.claim({ queues: [queue], max: 1, waitMs: 0 });
process.stdout.write(`ready ${JSON.stringify(claimed)}\n`);
