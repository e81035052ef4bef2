/** Work in lanes: what waits for a disk or for another process need not wait for its neighbours. */

/**
 * Calls `work(item)` for each item, at most `jobs` at a time; resolves to the answers, in order. After
 * a call for which `isLast` is true of its answer, none is begun any more.
 */
export async function inLanes(items, jobs, work, isLast = () => false) {
  const answers = [];
  const todo = [...items].entries();
  let isOver = false;
  const lane = async () => {
    for (const [at, item] of todo) {
      answers[at] = await work(item);
      isOver ||= isLast(answers[at]);
      if (isOver) return;
    }
  };
  await Promise.all(Array.from({ length: jobs }, lane));
  return answers.filter((answer) => answer !== undefined);
}
