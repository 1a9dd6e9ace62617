import type { FastifyRequest } from "fastify";
import { ROUTES, type Route } from "../protocol/routes.ts";
import { type DibsError, ShuttingDownError } from "../task/errors.ts";
import type { Tokens } from "./auth.ts";
import { crossSiteRefusal } from "./site.ts";

const OPEN = new Set(
  Object.values(ROUTES)
    .filter((route: Route) => route.open)
    .map(({ path }) => path as string),
);
const PAGES: ReadonlySet<string> = new Set([ROUTES.docs.path, ROUTES.openapi.path]);

export interface AdmissionOptions {
  readonly tokens: Tokens;
  /** Without tokens: let the pages of other sites in. */
  readonly insecure: boolean;
  isDraining(): boolean;
}

/**
 * Decides before a request's body is read whether it may enter: not while the server drains, not without a
 * token where tokens are asked for, not from another site where they are not. Paths that do not exist are
 * guarded like those that do.
 */
export function admission(options: AdmissionOptions): (request: FastifyRequest) => DibsError | undefined {
  const { tokens, insecure, isDraining } = options;
  return (request) => {
    const path = request.routeOptions.url ?? "";
    if (OPEN.has(path)) return undefined;
    if (isDraining()) return new ShuttingDownError("The server drains and takes no new requests");
    if (tokens.required) return tokens.refusal(request.headers.authorization, PAGES.has(path));
    return insecure ? undefined : crossSiteRefusal(request.headers);
  };
}
