/** What the lists of wrong solutions are made of. */

/** A mistake that people make in one exercise, and what the check must say to it. */
export interface Wrong {
  exercise: string;
  /** The solution cell; the exercise's own name unless given. */
  cell?: string;
  /** The mistake, in a few words. */
  name: string;
  /** Stands between BEGIN SOLUTION and END SOLUTION. */
  code: string;
  /** A part of the diagnosis, found in that of no other mistake of this exercise. */
  says: string;
  /** Only a case that learners do not see finds it. */
  isSubtle?: true;
}
