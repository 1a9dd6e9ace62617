import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { afterEach, describe, expect, it, vi } from "vitest";
import { opened } from "../test/broker/opened.ts";
import type { ClaimMark } from "./claim-marks.ts";
import { createServer } from "./http/server.ts";
import { LocalConnection } from "./local-connection.ts";
import * as validation from "./protocol/validate.ts";

vi.mock("./protocol/validate.ts", async (original) => {
  const real = await original<typeof validation>();
  return { ...real, check: vi.fn(real.check) };
});

const heard: ClaimMark[] = [];
const hear = (mark: unknown) => void heard.push(mark as ClaimMark);
const moments = () => heard.map(({ moment }) => moment);
const body = { queues: ["emails"] };

afterEach(() => {
  unsubscribe("dibs:claim", hear);
  heard.length = 0;
});

async function aPlace() {
  const { broker } = await opened();
  const connection = new LocalConnection(broker, "here");
  await connection.enqueueMany([
    { queue: "emails", payloadJson: "1" },
    { queue: "emails", payloadJson: "2" },
  ]);
  return { broker, connection };
}

describe("the marks of a claim", () => {
  it("tell its way over HTTP, from the request to the written answer", async () => {
    const { broker } = await aPlace();
    const server = await createServer(broker, { logger: SILENT });
    subscribe("dibs:claim", hear);

    const { statusCode } = await server.inject({ method: "POST", url: "/v1/claims", payload: body });

    expect(statusCode).toBe(200);
    expect(moments()).toEqual([
      ...["arrived", "served", "checking", "checked", "asked", "queued", "sent"],
      ...["replied", "resumed", "told", "writing", "written"],
    ]);
    const [arrived, served, checking] = heard;
    expect(served?.of).toBe(arrived?.subject);
    expect(checking?.subject).toBe(served?.subject);
    await server.close();
  });

  it("tell its way in process, by the body that was given", async () => {
    const { connection } = await aPlace();
    subscribe("dibs:claim", hear);

    await connection.claim(body);

    expect(moments()).toEqual([
      "checking",
      "checked",
      "asked",
      "queued",
      "sent",
      "replied",
      "resumed",
      "told",
    ]);
    for (const { moment, subject } of heard)
      if (["checking", "checked", "resumed", "told"].includes(moment)) expect(subject).toBe(body);
  });

  it("stand around the validation", async () => {
    const { connection } = await aPlace();
    subscribe("dibs:claim", hear);
    let before: readonly string[] = [];
    vi.mocked(validation.check).mockImplementationOnce((_, value) => {
      before = moments();
      return value as never;
    });

    await connection.claim(body);

    expect(before).toEqual(["checking"]);
  });

  it("name the list of those that travel together", async () => {
    const { connection } = await aPlace();
    subscribe("dibs:claim", hear);

    await Promise.all([connection.claim(body), connection.claim({ ...body })]);

    const asked = heard.filter(({ moment }) => moment === "asked").map(({ subject }) => subject);
    const travelled = heard.filter(({ moment }) => moment === "sent" || moment === "replied");
    expect(travelled.map(({ subject }) => subject)).toEqual([asked, asked]);
  });
});

const nothing = () => {};
const SILENT = { debug: nothing, info: nothing, warn: nothing, error: nothing, isLevelEnabled: () => false };
