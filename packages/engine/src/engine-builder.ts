/** The fluent form of the settings: each step replaces or extends one group of them. */

import { AuraError } from "@aura/base";
import { AuraDB } from "./aura-db.ts";
import type { Components } from "./components.ts";
import type { Settings } from "./settings.ts";

type Writable = { -readonly [K in keyof Settings]: Settings[K] };

/** Builds a database step by step; `build` opens it. */
export class EngineBuilder {
  #path: string | undefined;
  readonly #settings: Writable = {};

  /** Directory of the database. */
  withDbPath(path: string): this {
    this.#path = path;
    return this;
  }

  withWal(wal: NonNullable<Settings["wal"]>): this {
    this.#settings.wal = { ...this.#settings.wal, ...wal };
    return this;
  }

  withValueLog(valueLog: NonNullable<Settings["valueLog"]>): this {
    this.#settings.valueLog = { ...this.#settings.valueLog, ...valueLog };
    return this;
  }

  withMemtable(memtable: NonNullable<Settings["memtable"]>): this {
    this.#settings.memtable = { ...this.#settings.memtable, ...memtable };
    return this;
  }

  withTable(table: NonNullable<Settings["table"]>): this {
    this.#settings.table = { ...this.#settings.table, ...table };
    return this;
  }

  withLearnedIndex(learnedIndex: NonNullable<Settings["learnedIndex"]>): this {
    this.#settings.learnedIndex = { ...this.#settings.learnedIndex, ...learnedIndex };
    return this;
  }

  withCompaction(compaction: NonNullable<Settings["compaction"]>): this {
    this.#settings.compaction = { ...this.#settings.compaction, ...compaction };
    return this;
  }

  withRlAgent(rlAgent: NonNullable<Settings["rlAgent"]>): this {
    this.#settings.rlAgent = { ...this.#settings.rlAgent, ...rlAgent };
    return this;
  }

  /** A capacity, or what `createCache` made. */
  withCache(cache: NonNullable<Settings["cache"]>): this {
    this.#settings.cache = cache;
    return this;
  }

  /** Any of the settings, the ones without a group included. */
  withSettings(settings: Settings): this {
    Object.assign(this.#settings, settings);
    return this;
  }

  /** Opens the database. Throws as `AuraDB.open`, and AURA_INVALID_ARGUMENT without a path. */
  async build(components: Partial<Components> = {}): Promise<AuraDB> {
    if (this.#path === undefined) {
      throw new AuraError("AURA_INVALID_ARGUMENT", "withDbPath: a path is needed");
    }
    return AuraDB.open(this.#path, this.#settings, components);
  }
}

/** Opens a database from one object: its path and its settings. */
export function createEngineWithConfig(
  config: Settings & { readonly dbPath: string },
  components: Partial<Components> = {},
): Promise<AuraDB> {
  const { dbPath, ...settings } = config;
  return AuraDB.open(dbPath, settings, components);
}
