import type { Bug } from "./bugs.mjs";

export function bugOf(id: string): Bug;
export function plant(bug: Bug, file: string, text: string): string;
