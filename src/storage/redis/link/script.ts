/** One Lua script as the engine knows it: `sha` is the SHA-1 of `source`, in lower-case hex. */
export interface Script {
  readonly name: string;
  readonly source: string;
  readonly sha: string;
}
