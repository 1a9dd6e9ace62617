import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import * as net from "node:net";
import * as tls from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { RedisLink, type RedisOptions } from "../../src/storage/redis/link/link.ts";
import { NOTE } from "./a-script.ts";
import { ownCertificate } from "./own-certificate.ts";
import { freePort } from "./servers/free-port.ts";
import { type RedisServer, type RedisServerOptions, startRedis } from "./servers/redis-server.ts";
import { until } from "./servers/until.ts";
import { WireProxy } from "./wire-proxy.ts";

let shared: RedisServer;
const closers: (() => Promise<unknown>)[] = [];

beforeAll(async () => {
  shared = await startRedis();
});

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

afterAll(() => shared.stop());

async function open(url: string, options: Omit<RedisOptions, "url"> = {}): Promise<RedisLink> {
  const link = await RedisLink.open({ url, ...options }, [NOTE]);
  closers.push(() => link.close());
  return link;
}

async function ownServer(options: RedisServerOptions = {}): Promise<RedisServer> {
  const server = await startRedis(options);
  closers.push(() => server.stop());
  return server;
}

/** What somebody reads who tries to open it; fails when it opens. */
async function refusal(url: string, options: Omit<RedisOptions, "url"> = {}): Promise<string> {
  const opened = await RedisLink.open({ url, ...options }, [NOTE]).catch((error: unknown) => error);
  if (opened instanceof Error) {
    expect(opened).toMatchObject({ code: /^(storage_unavailable|invalid_request)$/ });
    return opened.message;
  }
  await (opened as RedisLink).close();
  throw new Error("It opened");
}

function withLogin({ host, port }: RedisServer, login: string): string {
  return `redis://${login}@${host}:${port}`;
}

describe("somebody who is not let in", () => {
  const users = ["--requirepass", "s3cret", "--user", "worker", "on", ">p@ss/w:rd", "~*", "&*", "+@all"];

  it("reads that a password is wanted", async () => {
    const server = await ownServer({ args: users });

    expect(await refusal(server.url)).toMatch(
      /wants a password, and the URL has none: write redis:\/\/:pass/,
    );
  });

  it("reads that user or password are wrong, and never the password", async () => {
    const server = await ownServer({ args: users });

    const wrong = await refusal(withLogin(server, ":hunter2"));
    expect(wrong).toMatch(/does not accept the user "default" with this password/);
    expect(wrong).not.toContain("hunter2");
    expect(await refusal(withLogin(server, "nobody:hunter2"))).toMatch(/does not accept the user "nobody"/);
  });

  it("comes in with a password of any characters, percent-encoded", async () => {
    const server = await ownServer({ args: users });

    const link = await open(withLogin(server, `worker:${encodeURIComponent("p@ss/w:rd")}`));
    expect(await link.run(NOTE, ["{a}log"], ["x"])).toBe(1);
    expect(await (await open(withLogin(server, ":s3cret"))).run(NOTE, ["{a}log"], ["y"])).toBe(2);
  });

  it("reads which permission is missing", async () => {
    const server = await ownServer({
      args: ["--user", "worker", "on", ">pw", "~*", "&*", "+@all", "-script"],
    });

    expect(await refusal(withLogin(server, "worker:pw"))).toMatch(/NOPERM.*'script/);
  });

  it("needs no dangerous commands, and no keys but its own", async () => {
    const rights = ["~mine:*", "&mine:*", "+@all", "-@dangerous", "+info", "+config|get"];
    const server = await ownServer({
      args: ["--user", "worker", "on", ">pw", ...rights],
      appendonly: "always",
    });

    const link = await open(withLogin(server, "worker:pw"), { strict: true });
    await link.subscribe("mine:channel", () => undefined);
    expect(await link.run(NOTE, ["mine:{a}log"], ["x"])).toBe(1);
    const refused = { code: "storage_unavailable", message: /the Redis user may not do this/ };
    await expect(link.run(NOTE, ["other:{a}log"], ["x"])).rejects.toMatchObject(refused);
    await expect(link.subscribe("other:channel", () => undefined)).rejects.toMatchObject(refused);
    expect(link.trouble()).toBeUndefined();
  });
});

describe("a server that is not there", () => {
  it("is reported at once: nothing listens, or the name is unknown", async () => {
    const port = await freePort();

    expect(await refusal(`redis://127.0.0.1:${port}`)).toBe(
      `Cannot use Redis at 127.0.0.1:${port}: nothing listens there: is Redis running, and are host and port right?`,
    );
    expect(await refusal("redis://no-such-host.invalid")).toMatch(/no such host: is the name right\?/);
  });

  it("is reported within seconds when it takes the connection and is silent, or swallows all", async () => {
    const proxy = await WireProxy.open(shared);
    closers.push(() => proxy.close());
    proxy.fate = "swallow";

    expect(await refusal(proxy.url)).toMatch(/takes connections and does not answer/);
  });

  it("is recognised as something else than Redis", async () => {
    const web = createServer((_, response) => response.end("hello")).listen(0, "127.0.0.1");
    await once(web, "listening");
    closers.push(async () => web.close());

    const { port } = web.address() as AddressInfo;
    expect(await refusal(`redis://127.0.0.1:${port}`)).toMatch(/this is not Redis: it said "HTTP/);
  });

  it("has no such database", async () => {
    expect(await refusal(`${shared.url}/99`)).toMatch(/it has no database 99/);
  });
});

describe("TLS", () => {
  const certificate = ownCertificate();

  /** A Redis behind TLS, as a hosted one is. */
  async function behindTls(): Promise<number> {
    const server = tls.createServer(certificate, (socket) => {
      const redis = net.connect(shared.port, shared.host);
      socket.on("error", () => redis.destroy()).on("close", () => redis.destroy());
      redis.on("error", () => socket.destroy()).on("close", () => socket.destroy());
      socket.pipe(redis).pipe(socket);
    });
    server.on("tlsClientError", (_, socket) => socket.destroy());
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    closers.push(async () => server.close());
    return (server.address() as AddressInfo).port;
  }

  it("is spoken with rediss://, the certificate checked against the CA that is named", async () => {
    const port = await behindTls();

    for (const host of ["localhost", "127.0.0.1"]) {
      const link = await open(`rediss://${host}:${port}`, { tls: { ca: certificate.cert } });
      expect(await link.command("PING", "over TLS")).toBe("over TLS");
    }
  });

  it("is refused for a certificate of an unknown CA, unless told not to look", async () => {
    const port = await behindTls();

    expect(await refusal(`rediss://localhost:${port}`)).toMatch(
      /certificate is self-signed: name it as the CA/,
    );
    const link = await open(`rediss://localhost:${port}`, { tls: { rejectUnauthorized: false } });
    expect(await link.command("PING", "unchecked")).toBe("unchecked");
  });

  it("on one side alone is recognised, on either", async () => {
    const port = await behindTls();

    expect(await refusal(`redis://127.0.0.1:${port}`)).toMatch(/write rediss:\/\/ when the port wants TLS/);
    expect(await refusal(`rediss://127.0.0.1:${shared.port}`)).toMatch(/no TLS there.*write redis:\/\//);
  });

  it("reads a CA from a file, and says when it cannot", async () => {
    expect(await refusal("rediss://localhost:1", { tls: { ca: "/no/such/ca.pem" } })).toMatch(
      /tls\.ca.*\/no\/such\/ca\.pem/,
    );
  });
});

describe("the URL of another kind of Redis", () => {
  it("is refused with the right one", async () => {
    const node = await ownServer({ args: ["--cluster-enabled", "yes"] });

    expect(await refusal(node.url)).toMatch(/is a node of a cluster: write redis\+cluster:\/\//);
    expect(await refusal(`redis+cluster://${shared.host}:${shared.port}`)).toMatch(
      /is not a node of a cluster: write redis:\/\//,
    );
    expect(await refusal(`redis+sentinel://${shared.host}:${shared.port}/mymaster`)).toMatch(
      /it is no sentinel: write redis:\/\//,
    );
  });

  it("is refused while a cluster is not whole", async () => {
    const node = await ownServer({ args: ["--cluster-enabled", "yes"] });

    expect(await refusal(`redis+cluster://${node.host}:${node.port}`)).toMatch(
      /is not whole: no master serves slot 0/,
    );
  });
});

describe("the check of a server", () => {
  it("refuses a replica, and names its master", async () => {
    const replica = await ownServer({ args: ["--replicaof", shared.host, String(shared.port)] });

    expect(await refusal(replica.url)).toBe(
      `The Redis at ${replica.host}:${replica.port} is a replica of ${shared.host}:${shared.port} and takes no writes: connect to the master, or by way of sentinels with redis+sentinel://`,
    );
  });

  it("warns of eviction, of no persistence, and of odd times for a script; strict refuses them", async () => {
    const args = ["--maxmemory-policy", "allkeys-lru", "--busy-reply-threshold", "20"];
    const server = await ownServer({ args });
    const warnings: string[] = [];

    await open(server.url, { onWarning: (text) => warnings.push(text) });

    expect(warnings).toEqual([
      expect.stringMatching(/throws keys away .*maxmemory-policy allkeys-lru.*set it to noeviction/),
      expect.stringMatching(/keeps nothing on disk: a restart loses every task; set appendonly to yes/),
      expect.stringMatching(/calls a script stuck after 20 ms \(busy-reply-threshold\)/),
    ]);
    const refused = await refusal(server.url, { strict: true });
    for (const warning of warnings) expect(refused).toContain(warning);
  });

  it("has nothing to say of a server that keeps all it is given", async () => {
    const server = await ownServer({ appendonly: "everysec" });
    const warnings: string[] = [];

    await open(server.url, { strict: true, onWarning: (text) => warnings.push(text) });

    expect(warnings).toEqual([]);
  });

  it("notes that it may not read the settings, and goes on", async () => {
    const args = ["--user", "worker", "on", ">pw", "~*", "&*", "+@all", "-config"];
    const server = await ownServer({ args, appendonly: "always" });
    const warnings: string[] = [];

    const link = await open(withLogin(server, "worker:pw"), { onWarning: (text) => warnings.push(text) });

    expect(warnings).toEqual([expect.stringMatching(/does not let us read its settings/)]);
    expect(await link.run(NOTE, ["{b}log"], ["x"])).toBe(1);
  });

  it("waits for a server that is still reading its data", async () => {
    const slowly = ["--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024"];
    const server = await ownServer({ args: [...slowly, "--enable-debug-command", "yes"] });
    const [link, operator] = [await open(server.url), await open(server.url)];
    await Promise.all(
      Array.from({ length: 2_000 }, (_, at) => link.command("SET", `key ${at}`, "x".repeat(100))),
    );
    const reload = operator.command("DEBUG", "RELOAD");
    await until("it reads its data", () =>
      link.command("GET", "key 0").then(
        () => false,
        ({ message }: Error) => /still reading its data/.test(message),
      ),
    );

    const late = await open(server.url);

    expect(await late.command("GET", "key 1999")).toBe("x".repeat(100));
    expect(await reload).toBe("OK");
  });
});

it("an option out of its bounds is refused", async () => {
  expect(await refusal(shared.url, { connections: 17 })).toBe(
    "Expected connections to be a whole number from 1 to 16, got 17",
  );
  expect(await refusal(shared.url, { commandTimeoutMs: 0 })).toMatch(/Expected commandTimeoutMs/);
});
