import { objectAnswer } from "./answer.ts";
import { openApiDocument } from "./openapi.ts";
import type { Answerings } from "./router.ts";

/** The routes that describe all others. */
export function docsRoutes(needsToken: boolean): Answerings<"openapi" | "docs"> {
  const document = objectAnswer(openApiDocument(needsToken));
  return {
    openapi: () => document,
    docs: () => ({ status: 200, text: "", contentType: "text/html; charset=utf-8" }),
  };
}
