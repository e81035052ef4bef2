/** The kinds of filters that a table may have, and the frame of their bytes. */

/** Kinds of filters: the first byte of the section. On disk. Never renumber. */
export const FilterKind = { none: 0, bloom: 1, ribbon: 2 } as const;

/** One of the kinds. */
export type FilterKind = (typeof FilterKind)[keyof typeof FilterKind];

/** Bytes in front of every filter: its kind, and what the kind puts there. */
export const FILTER_HEAD_BYTES = 4;
