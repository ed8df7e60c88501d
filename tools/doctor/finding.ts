/** One finding of the doctor's. */
export interface Finding {
  sign: "✓" | "!" | "✗";
  text: string;
  cure?: string;
  /** nothing would run, or results would be wrong */
  fatal?: boolean;
}
