export function checkSources(packed: string, folder: string): void;
export function checkPlanted(packages: string): number;
export function checkBuild(packed: string, folder: string, work: string): void;
