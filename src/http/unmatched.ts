import type { FastifyRequest } from "fastify";
import { ROUTES, type Route } from "../protocol/routes.ts";
import { NotFoundError } from "../task/errors.ts";
import type { Answer } from "./answer.ts";
import { withHeaders } from "./errors.ts";

const ALL = Object.values<Route>(ROUTES);
const METHODS_BY_PATH = [...new Set(ALL.map(({ path }) => path))].map((path) => ({
  pattern: patternOf(path),
  methods: methodsOf(ALL.filter((route) => route.path === path)),
}));

/** What a request gets that no route takes: what its path would take, when it has any route at all. */
export function unmatched(request: FastifyRequest): Answer {
  const [path = ""] = request.url.split("?", 1);
  const methods = METHODS_BY_PATH.find(({ pattern }) => pattern.test(path))?.methods;
  if (methods !== undefined && request.method === "OPTIONS")
    return { status: 204, headers: { allow: methods } };
  const shown = `${request.method} ${path.slice(0, 200)}`;
  if (methods === undefined) throw new NotFoundError(`No route ${shown}; GET /openapi.json lists all routes`);
  throw withHeaders(
    new NotFoundError(`No route ${shown}; this path takes ${methods}`, {
      details: { allow: methods.split(", ") },
    }),
    { allow: methods },
  );
}

function patternOf(path: string): RegExp {
  return new RegExp(`^${path.replaceAll(".", "\\.").replaceAll(/\{\w+\}/g, "[^/]+")}$`);
}

function methodsOf(routes: readonly Route[]): string {
  const methods = routes.flatMap(({ method }) => (method === "GET" ? ["GET", "HEAD"] : [method]));
  return [...methods, "OPTIONS"].join(", ");
}
