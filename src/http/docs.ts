import { readFileSync } from "node:fs";
import { type Answer, objectAnswer } from "./answer.ts";
import { openApiDocument } from "./openapi.ts";
import type { Answerings } from "./router.ts";

/** The page needs nothing but itself and this server; nothing else is let in, and nobody frames it. */
const POLICY =
  "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; " +
  "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** The routes that describe all others. */
export function docsRoutes(needsToken: boolean): Answerings<"openapi" | "docs"> {
  const document = objectAnswer(openApiDocument(needsToken));
  const page: Answer = {
    status: 200,
    text: readFileSync(new URL("./docs-page.html", import.meta.url), "utf8"),
    contentType: "text/html; charset=utf-8",
    headers: { "content-security-policy": POLICY, "x-content-type-options": "nosniff" },
  };
  return { openapi: () => document, docs: () => page };
}
