import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { recordedExchanges } from "../../test/http/exchanges.ts";
import { generatedPart } from "../../test/http/protocol-document.ts";
import { Serving } from "../../test/http/serving.ts";
import { ROUTE_NAMES } from "../protocol/routes.ts";
import { STATUS } from "../protocol/status.ts";
import { ERROR_CODES } from "../task/errors.ts";

const PATH = new URL("../../docs/protocol.md", import.meta.url);
const MARK = "<!-- made by src/http/protocol-document.test.ts: from here to the end -->";

describe("docs/protocol.md", () => {
  it("says what the server does, with an exchange for each route", async () => {
    await using serving = await Serving.start();
    const exchanges = await recordedExchanges(serving);
    const [written = ""] = readFileSync(PATH, "utf8").split(MARK);

    expect([...exchanges.keys()].sort()).toEqual([...ROUTE_NAMES].sort());
    await expect(`${written}${MARK}\n\n${generatedPart(exchanges)}\n`).toMatchFileSnapshot(PATH.pathname);
  });

  it("has every error code with its status", () => {
    const document = readFileSync(PATH, "utf8");

    for (const code of ERROR_CODES) expect(document).toContain(`| \`${code}\` | ${STATUS[code]} |`);
  });
});
