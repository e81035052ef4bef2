/** A change of one file of the sources. */
export interface BugEdit {
  readonly file: string;
  readonly find: string;
  readonly replace: string;
  readonly every?: boolean;
}

/** A bug of the zoo. */
export interface Bug {
  readonly id: string;
  readonly title: string;
  readonly edits: readonly BugEdit[];
  readonly tests: readonly {
    readonly file: string;
    readonly env: Readonly<Record<string, string>>;
  }[];
}

export const BUGS: readonly Bug[];
