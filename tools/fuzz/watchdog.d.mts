/** Tells its thread what runs. One input at a time. */
export class Watchdog {
  constructor(options?: { readonly hangSeconds?: number });
  ready(): Promise<unknown>;
  begin(target: string, seed: number, input: Uint8Array): void;
  end(): void;
  close(): Promise<void>;
}
