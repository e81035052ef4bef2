/** What processes of a history do with a database. */
import { WriteBatch } from "@aura/engine";
import { bytesOf } from "./history.mjs";

/** Hands over one operation; resolves when it is acknowledged. */
export function write(db, { level, isBatch, changes }, isSync) {
  const options = { durability: level };
  if (isBatch) {
    const batch = new WriteBatch();
    for (const { key, value, end } of changes) {
      if (end !== undefined) batch.deleteRange({ gte: key, lt: end });
      else if (value === undefined) batch.delete(key);
      else batch.put(key, bytesOf(value));
    }
    return isSync ? db.writeSync(batch, options) : db.write(batch, options);
  }
  const [{ key, value, end }] = changes;
  if (end !== undefined) {
    const range = { gte: key, lt: end };
    return isSync ? db.deleteRangeSync(range, options) : db.deleteRange(range, options);
  }
  if (value === undefined) return isSync ? db.deleteSync(key, options) : db.delete(key, options);
  const bytes = bytesOf(value);
  return isSync ? db.putSync(key, bytes, options) : db.put(key, bytes, options);
}

/** Now and then what an owner does beside writing; `rarity`: the more, the less often. */
export async function maintain(db, chance, rarity) {
  const kind = chance.below(rarity);
  if (kind === 0) await db.flush();
  else if (kind === 1) await db.compact();
  else if (kind === 2) await db.idle();
  else if (kind === 3) {
    const snapshot = db.snapshot();
    for (const _ of db.keysSync({ snapshot, limit: 50 }));
    snapshot.release();
  } else if (kind === 4) db.setCompactionMode(chance.pick(["leveled", "tiered", "lazy-leveled"]));
}
