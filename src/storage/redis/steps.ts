/**
 * Tasks that one script of a step takes. Redis serves nobody else meanwhile: reaping 500 at once took it 6 ms with a
 * million tasks pending, purging them 5.5 (`npm run bench -- redis-longest`), where 5 ms are allowed.
 */
const SCRIPT_TASKS_MAX = 250;

/** Takes a step of `limit` tasks in as many scripts as it needs; `more` as the last of them said it. */
export async function inScripts<Reply extends { readonly more: boolean }>(
  limit: number,
  run: (limit: number) => Promise<Reply>,
  countOf: (reply: Reply) => number,
): Promise<Reply[]> {
  const replies: Reply[] = [];
  for (let left = limit; left > 0; ) {
    const reply = await run(Math.min(left, SCRIPT_TASKS_MAX));
    replies.push(reply);
    const count = countOf(reply);
    if (!reply.more || count === 0) break;
    left -= count;
  }
  return replies;
}
