/**
 * A disk whose reads take a given time each, over the real one: on this thread they block it, through
 * the thread pool any number of them wait side by side.
 */

/** Returns components of a database on such a disk, and how long its event loop was blocked. */
export async function slowDisk({ readMs, engine }) {
  const base = engine === "@aura/engine" ? "@aura/base" : new URL("base.js", engine).href;
  const { nodeFileSystem } = await import(base);
  let longest = 0;
  let last = performance.now();
  let going = true;
  const turn = () => {
    const now = performance.now();
    if (disk.slow) longest = Math.max(longest, now - last);
    last = now;
    if (going) setImmediate(turn);
  };
  const wrap = (handle) =>
    new Proxy(handle, {
      get(target, name) {
        if (name === "readSync") {
          return (bytes, position) => {
            const until = performance.now() + readMs;
            while (disk.slow && performance.now() < until);
            return target.readSync(bytes, position);
          };
        }
        if (name === "read") {
          return async (bytes, position) => {
            if (disk.slow) await new Promise((done) => setTimeout(done, readMs));
            return target.readSync(bytes, position);
          };
        }
        const value = target[name];
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  const fs = new Proxy(nodeFileSystem, {
    get(target, name) {
      if (name === "openSync") return (path, mode) => wrap(target.openSync(path, mode));
      const value = target[name];
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const disk = {
    slow: false,
    components: { fs },
    longestTurnMs: () => longest,
    stop: () => {
      going = false;
    },
  };
  setImmediate(turn);
  return disk;
}
