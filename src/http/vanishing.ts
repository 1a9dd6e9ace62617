import type { Socket } from "node:net";

/**
 * Tells when a client went away. The socket is watched and not the request, because a request is "closed" as
 * soon as its body was read, nor the response, because one that waits behind another on its connection has
 * no socket yet.
 */
const watchers = new WeakMap<Socket, Set<() => void>>();

/** Calls `vanished` when the connection closes before the returned function was called. */
export function onVanish(socket: Socket, vanished: () => void): () => void {
  const watching = watchers.get(socket) ?? watch(socket);
  watching.add(vanished);
  return () => watching.delete(vanished);
}

/** True when nothing that is written now can arrive. */
export function hasVanished(socket: Socket): boolean {
  return socket.destroyed || socket.writableEnded;
}

/** True when the connection ended by an error and not because one side was done. */
export function hasBroken(socket: Socket): boolean {
  return socket.errored instanceof Error;
}

// One listener for each connection, however many requests wait on it.
function watch(socket: Socket): Set<() => void> {
  const watching = new Set<() => void>();
  watchers.set(socket, watching);
  socket.once("close", () => {
    for (const vanished of [...watching]) vanished();
    watching.clear();
  });
  return watching;
}
