import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RawConnection, Serving } from "../../test/http/serving.ts";
import { LIMITS } from "../task/limits.ts";

let serving: Serving;
beforeAll(async () => {
  serving = await Serving.start();
});
afterAll(() => serving[Symbol.asyncDispose]());

describe("a body", () => {
  const task = '{"queue":"q"}';

  it.each([
    "application/json",
    "application/x-www-form-urlencoded",
    "text/plain; charset=utf-8",
    "application/vnd.x+json",
  ])("is JSON, also when its type is called %s", async (type) => {
    expect((await serving.post("/v1/tasks", task, { "content-type": type })).status).toBe(201);
  });

  it("is JSON without a type", async () => {
    const connection = await serving.connect();
    connection.write(RawConnection.request("POST", "/v1/tasks", task));

    expect(await connection.answers(1)).toEqual([201]);
  });

  it("may come in chunks, in any pieces", async () => {
    const connection = await serving.connect();
    connection.write("POST /v1/tasks HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    for (const byte of Buffer.from('{"queue":"q","payload":"ä€😀"}'))
      connection.write(Buffer.from([0x31, 13, 10, byte, 13, 10]));
    connection.write("0\r\n\r\n");

    expect(await connection.answers(1)).toEqual([201]);
    await connection.until(() => connection.received.endsWith("}"));
    expect(Buffer.from(connection.received, "latin1").toString()).toContain('"payload":"ä€😀"');
  });

  it("is refused at 16 MiB and one byte in chunks too", async () => {
    const connection = await serving.connect();
    connection.write("POST /v1/tasks HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n");
    const mebibyte = Buffer.alloc(1024 * 1024, " ");
    for (let sent = 0; sent < LIMITS.bodyBytesMax; sent += mebibyte.length) {
      connection.write(`${mebibyte.length.toString(16)}\r\n`);
      connection.write(mebibyte);
      connection.write("\r\n");
    }
    connection.write("1\r\n \r\n");

    expect(await connection.answers(1)).toEqual([413]);
    await connection.closed();
  });

  it("that is too large is answered also to a client that sends all of it first", async () => {
    const { status, json } = await serving.post("/v1/tasks", "x".repeat(2 * LIMITS.bodyBytesMax));

    expect([status, json.error.code]).toEqual([413, "payload_too_large"]);
  });

  it("is taken at 16 MiB exactly", async () => {
    const body = task.padEnd(LIMITS.bodyBytesMax);

    expect((await serving.post("/v1/tasks", body)).status).toBe(201);
  });

  it.each([
    ["nothing", ""],
    ["half of it", '{"queue":'],
    ["two of them", "{}{}"],
    ["a comma too many", '{"queue":"q",}'],
    ["single quotes", "{'queue':'q'}"],
    ["not a number", '{"queue":"q","payload":NaN}'],
    ["a comment", '{"queue":"q"/*!*/}'],
    ["a byte order mark", '\ufeff{"queue":"q"}'],
    ["a form", "queue=q"],
    ["half a surrogate as bytes", Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22])],
    ["bytes that are no UTF-8", Buffer.from([0x22, 0xff, 0x22])],
    ["an array", "[]"],
    ["a text", '"queue"'],
    ["null", "null"],
  ])("that is %s is refused with the field `body`", async (_, body) => {
    const connection = await serving.connect();
    connection.write(
      RawConnection.request("POST", "/v1/tasks", "", { "content-length": String(Buffer.byteLength(body)) }),
    );
    connection.write(body);

    expect(await connection.answers(1)).toEqual([400]);
    await connection.until(() => connection.received.includes("}"));
    expect(connection.received).toContain('"field":"body"');
  });

  it("that nests too deep is refused, and quickly, however long", async () => {
    for (const body of [
      "[".repeat(LIMITS.bodyBytesMax),
      '{"a":'.repeat(3_000_000),
      `{"queue":"q","payload":${"[".repeat(513)}${"]".repeat(513)}}`,
    ]) {
      const { status, json } = await serving.post("/v1/tasks", body);
      expect([status, json.error.details.bound]).toEqual([400, LIMITS.jsonDepthMax]);
    }
  });

  it("may be left out where all of it may", async () => {
    const { id } = await serving.enqueue();

    expect((await serving.post(`/v1/tasks/${id}/cancel`)).status).toBe(200);
    expect((await serving.post(`/v1/tasks/${id}/requeue`, "")).status).toBe(200);
    expect((await serving.post("/v1/queues/q/pause", {})).status).toBe(200);
    expect((await serving.post("/v1/queues/q/resume", { now: true })).json.error.details.field).toBe("now");
  });
});

describe("a payload", () => {
  it.each([
    "1e400",
    "-0",
    "12345678901234567890",
    "0.10",
    '"\\ud800"',
    '"\\u0000"',
    '{"__proto__":{"polluted":true},"constructor":{"prototype":1}}',
    '{"a":1,"a":2}',
    "[ 1,\n\t2 ]",
    '"\u2028"',
    `${"[".repeat(512)}${"]".repeat(512)}`,
  ])("comes back as it was sent: %s", async (payload) => {
    const { status, json } = await serving.post("/v1/tasks", `{"queue":"as-sent","payload":${payload}}`);
    expect(status).toBe(201);

    expect((await serving.get(`/v1/tasks/${json.id}`)).text).toContain(`"payload":${payload},"attempt"`);
    const claim = await serving.post("/v1/claims", { queues: ["as-sent"] });
    expect(claim.text).toContain(`"payload":${payload},"attempt"`);
    expect(({} as { polluted?: boolean }).polluted).toBeUndefined();
  });

  it("is the last one when a body has several", async () => {
    expect((await serving.post("/v1/tasks", '{"queue":"q","payload":1,"payload":2}')).json.payload).toBe(2);
  });

  it("comes back as it was sent from a batch, and a result too", async () => {
    const batch = '{"tasks":[{"queue":"in-batch"},{"queue":"in-batch","payload":1e400}]}';
    expect((await serving.post("/v1/tasks/batch", batch)).text).toContain('"payload":1e400');

    const [first] = await serving.claim({ queues: ["in-batch"] });
    const outcome = `{"id":"${first.id}","leaseToken":"${first.lease.token}","outcome":"complete","result":-0}`;
    await serving.post("/v1/settle", `{"outcomes":[${outcome}]}`);
    expect((await serving.get(`/v1/tasks/${first.id}/result`)).text).toContain('"result":-0');
  });

  it("gives one idempotency key one task when it is the same value in another spelling", async () => {
    const send = (payload: string) =>
      serving.post("/v1/tasks", `{"queue":"same","idempotencyKey":"k","payload":${payload}}`);
    await send('{"a":1,"b":[1.0]}');

    expect((await send('{ "b": [1], "a": 1 }')).json.deduplicated).toBe(true);
    expect((await send('{"a":1,"b":[2]}')).status).toBe(409);
  });
});

describe("fields that are kept as text", () => {
  it.each(["worker", "idempotencyKey", "tags"])("refuse half a character in %s", async (field) => {
    const text = field === "tags" ? '{"k":"\\ud800"}' : '"\\ud800"';
    const [path, rest] = field === "worker" ? ["/v1/claims", '"queues":["q"]'] : ["/v1/tasks", '"queue":"q"'];
    const { status, json } = await serving.post(path, `{${rest},"${field}":${text}}`);

    expect([status, json.error.details.field]).toEqual([400, field === "tags" ? "tags.k" : field]);
  });

  it("take names that mean something to JavaScript", async () => {
    const { json } = await serving.post(
      "/v1/tasks",
      '{"queue":"q","tags":{"__proto__":"a","constructor":"b","":"c"}}',
    );
    expect(json.error.details.field).toBe("tags.");

    const sound = await serving.post(
      "/v1/tasks",
      '{"queue":"q","tags":{"__proto__":"a","constructor":"b","line\\nbreak":"c"}}',
    );
    expect(sound.text).toContain('"tags":{"__proto__":"a","constructor":"b","line\\nbreak":"c"}');
  });
});
